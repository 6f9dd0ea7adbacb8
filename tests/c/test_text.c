/* test_text.c - strings: hashes against published values and one another, the table against a plain
 * list, splitting and n-grams against their definitions; random bytes; failing allocations. */
#include "check.h"
#include "core/text.h"

#include <stdlib.h>

enum { MOST = 4096 };

static nnc_rng rng = {.seed = 11};
static uint64_t drawn;

static uint32_t draw(uint32_t below)
{
    uint32_t out[4];
    nnc_rng_block(&rng, drawn++, out);
    return out[0] % below;
}

/* `count` random strings of up to `most` bytes out of `letters`, one behind the other. */
typedef struct {
    char *bytes;
    int64_t *begin, *end;
    nnc_text text;
    int64_t size;
} sample;

static sample sample_new(int64_t count, uint32_t most, const char *letters, uint32_t kinds)
{
    sample s = {.bytes = malloc((size_t)(count * most + 1)),
                .begin = malloc((size_t)(count + 1) * sizeof(int64_t)),
                .end = malloc((size_t)(count + 1) * sizeof(int64_t))};
    for (int64_t i = 0; i < count; i++) {
        uint32_t n = draw(most + 1);
        s.begin[i] = s.size;
        for (uint32_t j = 0; j < n; j++)
            s.bytes[s.size++] = letters == NULL ? (char)draw(256) : letters[draw(kinds)];
        s.end[i] = s.size;
    }
    s.bytes = realloc(s.bytes, (size_t)s.size + (s.size == 0));     /* so that ASan sees its end */
    s.text = (nnc_text){s.bytes, s.begin, s.end, count};
    return s;
}

static void sample_free(sample *s)
{
    free(s->bytes);
    free(s->begin);
    free(s->end);
}

static bool same(const nnc_text *t, int64_t i, const char *bytes, int64_t n)
{
    return t->end[i] - t->begin[i] == n &&
        (n == 0 || memcmp(t->bytes + t->begin[i], bytes, (size_t)n) == 0);
}

/* ---- hashes ---- */

/* SipHash's test vector: key 00..0f, message 00..0e (the paper, appendix A). */
TEST(siphash_is_the_papers)
{
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    char message[15];
    for (int i = 0; i < 15; i++)
        message[i] = (char)i;
    CHECK(nnc_text_siphash(key, message, 15) == 0xa129ca6149be45e5u);
}

TEST(fingerprints_do_not_depend_on_where_a_string_lies)
{
    char block[512 + 8];
    CHECK(nnc_text_fingerprint("", 0) == 0x9ae16a3b2f90404fu);
    for (int n = 0; n < 300; n++) {
        char *exact = malloc((size_t)n + (n == 0));
        for (int i = 0; i < n; i++)
            exact[i] = (char)draw(256);
        uint64_t hash = nnc_text_fingerprint(exact, n);
        for (int shift = 0; shift < 8; shift++) {
            memcpy(block + shift, exact, (size_t)n);
            CHECK(nnc_text_fingerprint(block + shift, n) == hash);
        }
        if (n > 0) {
            exact[draw((uint32_t)n)] ^= 1;
            CHECK(nnc_text_fingerprint(exact, n) != hash);
        }
        free(exact);
    }
}

TEST(integers_hash_as_their_digits)
{
    const int64_t x[] = {0, 7, -1, 1234567890123456789, INT64_MAX, INT64_MIN};
    const uint64_t key[2] = {1, 2};
    for (int i = 0; i < 6; i++) {
        char text[32];
        int64_t begin = 0, end = snprintf(text, sizeof text, "%lld", (long long)x[i]);
        nnc_text one = {text, &begin, &end, 1};
        int64_t a, b;
        for (int k = 0; k < 2; k++) {
            nnc_text_hash(&one, k ? key : NULL, 1000003, &a);
            nnc_integers_hash(&x[i], 1, k ? key : NULL, 1000003, &b);
            CHECK(a == b);
        }
    }
}

TEST(many_hash_as_one_does)
{
    enum { N = 20000 };
    sample s = sample_new(N, 40, NULL, 0);
    int64_t *out = malloc(N * sizeof *out), *x = malloc(2 * N * sizeof *x);
    for (int threads = 1; threads <= 4; threads += 3) {
        nnc_pool_set_threads(threads);
        nnc_text_hash(&s.text, NULL, 97, out);
        for (int64_t i = 0; i < N; i++)
            CHECK(out[i] == (int64_t)(nnc_text_fingerprint(s.bytes + s.begin[i],
                                                           s.end[i] - s.begin[i]) % 97));
        for (int64_t i = 0; i < 2 * N; i++)
            x[i] = i * 77777;
        nnc_integers_cross(x, 2, N, 1000, out);
        for (int64_t i = 0; i < N; i += 997) {
            int64_t pair[2] = {x[i], x[N + i]}, one;
            nnc_integers_cross(pair, 2, 1, 1000, &one);
            CHECK(one == out[i]);
        }
    }
    nnc_pool_set_threads(2);
    free(out);
    free(x);
    sample_free(&s);
}

/* ---- the table ---- */

TEST(table_numbers_strings_as_they_come)
{
    nnc_table table = {0};
    sample s = sample_new(3000, 3, "abcde", 5);
    int64_t *id = malloc(3000 * sizeof *id), *again = malloc(3000 * sizeof *again);
    nnc_table_find(&table, &s.text, id);
    CHECK(id[0] == -1 && id[2999] == -1);
    CHECK(nnc_table_add(&table, &s.text, id) == NNC_OK);
    int64_t next = 0;
    for (int64_t i = 0; i < 3000; i++) {
        CHECK(id[i] <= next);
        next += id[i] == next;
        for (int64_t j = 0; j < i; j += 1 + i / 50)
            CHECK((id[i] == id[j]) ==
                  same(&s.text, i, s.bytes + s.begin[j], s.end[j] - s.begin[j]));
    }
    CHECK(table.count == next);
    nnc_table_find(&table, &s.text, again);
    CHECK(memcmp(id, again, 3000 * sizeof *id) == 0);
    sample other = sample_new(100, 3, "xyz", 3);
    nnc_table_find(&table, &other.text, again);
    for (int64_t i = 0; i < 100; i++)
        CHECK((again[i] == -1) == (other.end[i] > other.begin[i]));
    nnc_table_clear(&table);
    sample_free(&s);
    sample_free(&other);
    free(id);
    free(again);
}

TEST(table_finds_on_any_number_of_threads)
{
    enum { N = 30000 };
    nnc_table table = {0};
    sample s = sample_new(N, 6, "abcdefgh", 8);
    int64_t *id = malloc(N * sizeof *id), *found = malloc(N * sizeof *found);
    CHECK(nnc_table_add(&table, &s.text, id) == NNC_OK);
    for (int threads = 1; threads <= 4; threads++) {
        nnc_pool_set_threads(threads);
        nnc_table_find(&table, &s.text, found);
        CHECK(memcmp(id, found, N * sizeof *id) == 0);
    }
    nnc_pool_set_threads(2);
    nnc_table_clear(&table);
    sample_free(&s);
    free(id);
    free(found);
}

TEST(table_survives_every_failing_allocation)
{
    sample s = sample_new(200, 4, "abc", 3);
    int64_t id[200], wanted[200], live = nnc_alloc_live_blocks();
    nnc_table whole = {0};
    CHECK(nnc_table_add(&whole, &s.text, wanted) == NNC_OK);
    nnc_status status = NNC_ENOMEM;
    for (int64_t n = 1; status != NNC_OK && n < 200; n++) {
        nnc_table table = {0};
        nnc_alloc_fail_at(n);
        status = nnc_table_add(&table, &s.text, id);
        nnc_alloc_fail_at(0);
        CHECK(status == NNC_OK || status == NNC_ENOMEM);
        CHECK(nnc_table_add(&table, &s.text, id) == NNC_OK);        /* it goes on where it was */
        CHECK(memcmp(id, wanted, sizeof id) == 0);
        nnc_table_clear(&table);
    }
    CHECK(status == NNC_OK);
    nnc_table_clear(&whole);
    CHECK(nnc_alloc_live_blocks() == live);
    sample_free(&s);
}

/* ---- taking apart ---- */

static void check_split(const sample *s, bool characters)
{
    int64_t n = s->text.count, *row = malloc((size_t)(n + 1) * sizeof *row);
    nnc_status status = nnc_text_split(&s->text, characters, row, NULL, NULL);
    CHECK(status == NNC_OK || (characters && status == NNC_EVALUE));
    if (status == NNC_OK) {
        int64_t count = row[n], *begin = malloc((size_t)(count + 1) * sizeof *begin);
        int64_t *end = malloc((size_t)(count + 1) * sizeof *end), covered = 0;
        nnc_text_split(&s->text, characters, row, begin, end);
        for (int64_t i = 0; i < n; i++) {
            for (int64_t t = row[i]; t < row[i + 1]; t++) {
                CHECK(begin[t] >= s->begin[i] && end[t] <= s->end[i] && end[t] > begin[t]);
                CHECK(t == row[i] || begin[t] >= end[t - 1] + !characters);
                covered += end[t] - begin[t];
            }
        }
        int64_t visible = 0;
        for (int64_t i = 0; i < s->size; i++)
            visible += characters || strchr(" \t\n\v\f\r", s->bytes[i]) == NULL ||
                s->bytes[i] == 0;
        CHECK(covered == visible);
        free(begin);
        free(end);
    }
    free(row);
}

TEST(words_and_characters_of_random_bytes)
{
    for (int i = 0; i < 200; i++) {
        sample any = sample_new(20, 12, NULL, 0), words = sample_new(20, 20, "ab \t\n\r\v\f", 8);
        check_split(&any, false);
        check_split(&any, true);
        check_split(&words, false);
        check_split(&words, true);
        sample_free(&any);
        sample_free(&words);
    }
}

TEST(characters_are_those_of_utf8)
{
    static const struct {
        const char *bytes;
        int size, count;
    } cases[] = {{"a\xc3\xbc", 3, 2}, {"\xe6\x97\xa5", 3, 1}, {"\xf0\x9f\x98\x80", 4, 1},
                 {"\xc3", 1, -1}, {"\x80", 1, -1}, {"\xc0\xaf", 2, -1}, {"\xed\xa0\x80", 3, -1},
                 {"\xf4\x90\x80\x80", 4, -1}, {"\xe0\x80\x80", 3, -1}, {"\xff", 1, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *exact = malloc((size_t)cases[i].size);
        memcpy(exact, cases[i].bytes, (size_t)cases[i].size);
        int64_t begin = 0, end = cases[i].size, row[2];
        nnc_text one = {exact, &begin, &end, 1};
        nnc_status status = nnc_text_split(&one, true, row, NULL, NULL);
        CHECK(cases[i].count < 0 ? status == NNC_EVALUE
                                 : status == NNC_OK && row[1] == cases[i].count);
        free(exact);
    }
}

TEST(standardized_text)
{
    const char *from = "Ab, C!-9_\xc3\x84";
    const char *to[4] = {from, "ab, c!-9_\xc3\x84", "Ab C9\xc3\x84", "ab c9\xc3\x84"};
    int64_t begin = 0, end = (int64_t)strlen(from), first, last;
    nnc_text one = {from, &begin, &end, 1};
    for (int how = 0; how < 4; how++) {
        char room[32];
        nnc_text_standardize(&one, how, room, &first, &last);
        CHECK(first == 0 && last == (int64_t)strlen(to[how]) &&
              memcmp(room, to[how], strlen(to[how])) == 0);
    }
}

TEST(code_points_as_utf8)
{
    const uint32_t codes[] = {'a', 0xfc, 0x65e5, 0x1f600, 0, 'b', 0, 'c', 0, 0, 0, 0, 0, 0, 0};
    const char *wanted[] = {"a\xc3\xbc\xe6\x97\xa5\xf0\x9f\x98\x80", "b\0c", ""};
    const int64_t sizes[] = {10, 3, 0};
    int64_t begin[3], end[3], size = nnc_text_encode(codes, 3, 5, NULL, NULL, NULL);
    char room[16];
    CHECK(size == 13 && nnc_text_encode(codes, 3, 5, room, begin, end) == 13);
    nnc_text t = {room, begin, end, 3};
    for (int i = 0; i < 3; i++)
        CHECK(same(&t, i, wanted[i], sizes[i]));
    const uint32_t wrong[] = {'a', 0xd800, 'b', 0x110000};
    CHECK(nnc_text_encode(wrong, 2, 2, NULL, NULL, NULL) == -1);
    CHECK(nnc_text_encode(wrong + 2, 1, 2, NULL, NULL, NULL) == -1);
}

TEST(ngrams_join_runs)
{
    const char *bytes = "abcd";
    const int64_t begin[] = {0, 1, 2, 3}, end[] = {1, 2, 3, 4}, row[] = {0, 3, 3, 4};
    const int64_t width[] = {1, 2};
    const char *wanted[] = {"a", "b", "c", "a b", "b c", "d"};
    int64_t out[4], size, first[6], last[6];
    nnc_text t = {bytes, begin, end, 4};
    CHECK(nnc_text_ngrams(&t, row, 3, width, 2, out, &size, NULL, NULL, NULL) == NNC_OK);
    CHECK(out[0] == 0 && out[1] == 5 && out[2] == 5 && out[3] == 6 && size == 10);
    char *room = malloc((size_t)size);
    nnc_text_ngrams(&t, row, 3, width, 2, out, &size, room, first, last);
    nnc_text made = {room, first, last, 6};
    for (int i = 0; i < 6; i++)
        CHECK(same(&made, i, wanted[i], (int64_t)strlen(wanted[i])));
    free(room);
    const int64_t id[] = {5, 6, 7, 8}, padded[] = {5, 6, -1, -1, 8, -1};
    int64_t rows_out[6];
    nnc_rows_pad(id, row, 3, 2, -1, rows_out);
    CHECK(memcmp(rows_out, padded, sizeof padded) == 0);
}

TEST(bounds_are_seen)
{
    int64_t begin[] = {0, 2, 5}, end[] = {2, 5, 9};
    nnc_text t = {"123456789", begin, end, 3};
    CHECK(nnc_text_valid(&t, 9) && !nnc_text_valid(&t, 8));
    begin[1] = 6;
    CHECK(!nnc_text_valid(&t, 9));
    begin[1] = -1;
    CHECK(!nnc_text_valid(&t, 9));
    int64_t huge_begin[] = {0, 0}, huge_end[] = {INT64_MAX, INT64_MAX}, size;
    nnc_text huge = {NULL, huge_begin, huge_end, 2};
    CHECK(nnc_text_size(&huge, &size) == NNC_ENOMEM);
}
