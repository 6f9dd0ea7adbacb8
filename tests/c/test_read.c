/* test_read.c - parts of files into memory; CRC-32. */
#include "check.h"
#include "core/read.h"
#include "core/tensor.h"

#include <stdlib.h>
#include <unistd.h>

enum { BYTES = (9 << 20) + 12345 };     /* three pieces, the last one short */

static uint8_t *data;
static int file;

/* Bit by bit: the definition. */
static uint32_t crc_by_bits(uint32_t crc, const uint8_t *bytes, int64_t count)
{
    crc = ~crc;
    for (int64_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static bool made(void)
{
    char name[] = "/tmp/nnc_test_read_XXXXXX";
    if (data != NULL)
        return true;
    data = malloc(BYTES);
    file = mkstemp(name);
    if (data == NULL || file < 0)
        return false;
    unlink(name);
    uint32_t x = 1;
    for (int64_t i = 0; i < BYTES; i++) {
        x = x * 1664525u + 1013904223u;
        data[i] = (uint8_t)(x >> 24);
    }
    return write(file, data, BYTES) == BYTES;
}

TEST(crc_is_the_definition)
{
    CHECK(nnc_crc32(0, "123456789", 9) == 0xCBF43926u);
    CHECK(nnc_crc32(0, "", 0) == 0);
    CHECK(made());
    for (int64_t n = 0; n < 700; n++)
        for (int64_t at = 0; at < 3; at++)
            CHECK(nnc_crc32((uint32_t)n * 77, data + at, n) ==
                  crc_by_bits((uint32_t)n * 77, data + at, n));
}

TEST(crc_of_parts_is_joined)
{
    CHECK(made());
    uint32_t whole = crc_by_bits(0, data, 5000);
    for (int64_t n = 0; n <= 5000; n += 250)
        CHECK(nnc_crc32_join(nnc_crc32(0, data, n), nnc_crc32(0, data + n, 5000 - n), 5000 - n) ==
              whole);
}

TEST(reads_what_lies_there_with_any_number_of_threads)
{
    CHECK(made());
    uint8_t *to = malloc(BYTES);
    static const int64_t ends[] = {0, 1, 63, 4096, 4 << 20, (4 << 20) + 1, BYTES};
    int before = nnc_pool_threads();
    for (int threads = 1; threads <= 4; threads++) {
        nnc_pool_set_threads(threads);
        for (int i = 0; i < (int)(sizeof ends / sizeof ends[0]); i++) {
            for (int64_t begin = 0; begin < 20 && begin <= ends[i]; begin += 7) {
                int64_t n = ends[i] - begin;
                uint32_t crc = 1, alone = 1, wanted = nnc_crc32(0, data + begin, n);
                memset(to, 0, BYTES);
                CHECK(nnc_read(file, begin, n, to, &crc) == NNC_OK && crc == wanted);
                CHECK(memcmp(to, data + begin, (size_t)n) == 0);
                CHECK(n == BYTES || to[n] == 0);
                CHECK(nnc_read(file, begin, n, NULL, &alone) == NNC_OK && alone == wanted);
            }
        }
    }
    nnc_pool_set_threads(before);
    free(to);
}

TEST(refuses_what_is_not_there)
{
    CHECK(made());
    uint32_t crc = 7;
    uint8_t *to = malloc(BYTES + 1);
    CHECK(nnc_read(file, 0, BYTES + 1, to, &crc) == NNC_EVALUE && crc == 7);
    CHECK(nnc_read(file, BYTES + 100, 1, to, NULL) == NNC_EVALUE);
    CHECK(nnc_read(file, -1, 1, to, NULL) == NNC_EVALUE);
    CHECK(nnc_read(file, 0, -1, to, NULL) == NNC_EVALUE);
    CHECK(nnc_read(file, INT64_MAX, 1, to, NULL) == NNC_ENOMEM);
    CHECK(nnc_read(-1, 0, 1, to, NULL) == NNC_EVALUE);
    free(to);
}

TEST(leaks_nothing_when_memory_is_short)
{
    CHECK(made());
    int64_t blocks = nnc_alloc_live_blocks();
    uint32_t crc;
    nnc_status status = NNC_ENOMEM;
    int n = 0;
    while (status == NNC_ENOMEM && ++n < 10) {
        nnc_alloc_fail_at(n);
        status = nnc_read(file, 0, BYTES, NULL, &crc);
        CHECK(nnc_alloc_live_blocks() == blocks);
    }
    nnc_alloc_fail_at(0);
    CHECK(status == NNC_OK && n == 3);
}

TEST(zeros_are_zero)
{
    nnc_tensor *tensor = NULL;
    nnc_shape shape = {2, {1000, 1000}};
    int64_t blocks = nnc_alloc_live_blocks();
    for (int turn = 0; turn < 3; turn++) {          /* memory that was used before, too */
        CHECK(nnc_tensor_zeros(&shape, NNC_F32, &tensor) == NNC_OK);
        const uint8_t *bytes = tensor->array.data;
        int64_t used = 0;
        for (int64_t i = 0; i < tensor->bytes; i++)
            used += bytes[i] != 0;
        CHECK(used == 0);
        memset(tensor->array.data, 255, (size_t)tensor->bytes);
        nnc_tensor_release(tensor);
    }
    CHECK(nnc_alloc_live_blocks() == blocks);
}
