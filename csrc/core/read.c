/* read.c - parts of files. Pieces of one size are handed out to the threads; each is read in steps
 * that fit into the nearest caches, so that its checksum costs no second way to memory. */
#include "core/read.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 4 << 20, STEP = 256 << 10 };

typedef struct {
    int file;
    int64_t offset, bytes, pieces;
    char *to, *scratch;                     /* STEP bytes a thread where `to` is NULL */
    uint32_t *crc;                          /* of each piece, or NULL */
    atomic_llong next;
    atomic_int stop, error;                 /* errno of the first failure; -1: the file ended */
} job;

/* All of them, in as many calls as it takes. */
static bool read_whole(job *j, int64_t at, int64_t bytes, char *to)
{
    while (bytes > 0 && !atomic_load_explicit(&j->stop, memory_order_relaxed)) {
        ssize_t count = pread(j->file, to, (size_t)bytes, j->offset + at);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            int none = 0;
            atomic_compare_exchange_strong(&j->error, &none, count < 0 ? errno : -1);
            atomic_store(&j->stop, 1);
            break;
        }
        at += count;
        to += count;
        bytes -= count;
    }
    return bytes == 0;
}

static void read_pieces(void *argument, int thread, int threads)
{
    job *j = argument;
    int64_t piece;
    (void)threads;
    while ((piece = atomic_fetch_add(&j->next, 1)) < j->pieces) {
        int64_t begin = piece * PIECE, end = begin + PIECE < j->bytes ? begin + PIECE : j->bytes;
        uint32_t crc = 0;
        for (int64_t at = begin; at < end; at += STEP) {
            int64_t count = end - at < STEP ? end - at : STEP;
            char *to = j->to != NULL ? j->to + at : j->scratch + (int64_t)thread * STEP;
            if (thread == 0 && nnc_poll_due())
                atomic_store(&j->stop, 1);
            if (!read_whole(j, at, count, to))
                return;
            if (j->crc != NULL)
                crc = nnc_crc32(crc, to, count);
        }
        if (j->crc != NULL)
            j->crc[piece] = crc;
    }
}

static nnc_status outcome(const job *j)
{
    int error = atomic_load(&j->error);
    if (error == -1)
        return nnc_fail(NNC_EVALUE, "the file ends before %lld bytes at %lld",
                        (long long)j->bytes, (long long)j->offset);
    if (error != 0)
        return nnc_fail(NNC_EVALUE, "%lld bytes of a file at %lld cannot be read: error %d",
                        (long long)j->bytes, (long long)j->offset, error);
    if (atomic_load(&j->stop))
        return nnc_fail(NNC_EINTERRUPT, "reading a file: interrupted");
    return NNC_OK;
}

nnc_status nnc_read(int file, int64_t offset, int64_t bytes, void *to, uint32_t *crc)
{
    nnc_status status = NNC_OK;
    job j = {.file = file, .offset = offset, .bytes = bytes, .to = to};
    int64_t end;
    int threads = bytes > PIECE ? nnc_pool_threads() : 1;
    if (offset < 0 || bytes < 0)
        return nnc_fail(NNC_EVALUE, "read: offset and number of bytes must be >= 0. Received: "
                        "offset=%lld, bytes=%lld", (long long)offset, (long long)bytes);
    NNC_TRY(nnc_size_add(offset, bytes, &end));
    j.pieces = bytes / PIECE + (bytes % PIECE != 0);
    if (threads > j.pieces)
        threads = j.pieces > 0 ? (int)j.pieces : 1;
    if (crc != NULL)
        NNC_TRY(nnc_alloc(j.pieces * (int64_t)sizeof *j.crc, &j.crc));
    if (to == NULL)
        NNC_TRY(nnc_alloc((int64_t)threads * STEP, &j.scratch));
    nnc_pool_run(read_pieces, &j, threads);
    NNC_TRY(outcome(&j));
    if (crc != NULL) {
        *crc = 0;
        for (int64_t i = 0; i < j.pieces; i++) {
            int64_t length = i + 1 < j.pieces ? PIECE : bytes - i * PIECE;
            *crc = nnc_crc32_join(*crc, j.crc[i], length);
        }
    }
done:
    nnc_free(j.crc);
    nnc_free(j.scratch);
    return status;
}
