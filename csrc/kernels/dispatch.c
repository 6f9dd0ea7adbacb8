/* dispatch.c - picks the instruction set level: the best that the processor has and the
 * operating system saves on a context switch, or the one that NNC_ISA names. Two levels are avx512
 * with products of bfloat16 of their own: avx512bf16 and amx. */
#if defined(__linux__)
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#define NNC_LEVELS(X) X(portable) X(avx2) X(avx512)
extern const nnc_kernels_bf16 nnc_kernels_avx512bf16_bf16, nnc_kernels_amx_bf16;
#else
#define NNC_LEVELS(X) X(portable)
#endif

#define DECLARE(name)                                                                              \
    extern const nnc_kernels_f32 nnc_kernels_##name##_f32;                                         \
    extern const nnc_kernels_f64 nnc_kernels_##name##_f64;                                         \
    extern const nnc_kernels_i8 nnc_kernels_##name##_i8;                                           \
    extern const nnc_kernels_half nnc_kernels_##name##_half;
NNC_LEVELS(DECLARE)
#undef DECLARE

static bool has_portable(void)
{
    return true;
}

#if defined(__x86_64__)
/* XCR0, the register states the system saves: bits 1, 2 SSE and AVX; 5, 6, 7 the AVX-512 ones. */
static bool system_saves(uint32_t wanted)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return false;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & wanted) == wanted;
}

static bool has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c") && system_saves(0x06);
}

static bool has_avx512(void)
{
    return nnc_kernels_avx512_f32.gemm_plan && has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && system_saves(0xe6);
}

/* Leaf 7 of CPUID: bit 5 of its second part's eax is AVX512-BF16; bits 22 and 24 of its first part's
 * edx are tiles of bfloat16 and tiles. */
static bool has_avx512bf16(void)
{
    uint32_t a, b, c, d;
    return nnc_kernels_avx512bf16_bf16.multiply && has_avx512() &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5);
}

/* Intel's processors run vdpbf16ps at a quarter of the rate of float32's multiply-adds, and it does
 * twice as much: measured 86 GFLOP/s against 173. AMD's run it at the same rate: 236 against 117. */
static bool prefers_avx512bf16(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_is("amd");
}

/* The system gives a process the room for tiles when it asks for it. */
static bool system_gives_tiles(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { ASK = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
#else
    return false;
#endif
}

/* XCR0: bits 17 and 18 the tiles and their shapes. */
static bool has_amx(void)
{
    uint32_t a, b, c, d;
    return nnc_kernels_amx_bf16.multiply && has_avx512bf16() &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & 1u << 22) && (d & 1u << 24) && system_saves(0x60000) && system_gives_tiles();
}
#endif

static bool always(void)
{
    return true;
}

/* `prefers`: whether a processor that has the level is better off with it. */
static const struct {
    nnc_level level;
    bool (*has)(void), (*prefers)(void);
} levels[] = {
#define TABLES(name)                                                                               \
    &nnc_kernels_##name##_f32, &nnc_kernels_##name##_f64, &nnc_kernels_##name##_i8,                \
        &nnc_kernels_##name##_half
#define ROW(name) {{#name, TABLES(name), NULL}, has_##name, always},
    NNC_LEVELS(ROW)
#if defined(__x86_64__)
    {{"avx512bf16", TABLES(avx512), &nnc_kernels_avx512bf16_bf16}, has_avx512bf16,
     prefers_avx512bf16},
    {{"amx", TABLES(avx512), &nnc_kernels_amx_bf16}, has_amx, always},
#endif
#undef ROW
#undef TABLES
};
#define LEVEL_COUNT (int)(sizeof(levels) / sizeof(levels[0]))

const nnc_level *nnc_kernels = &levels[0].level;

const char *const *nnc_isa_available(void)
{
    static const char *names[LEVEL_COUNT + 1];
    int count = 0;
    for (int i = 0; i < LEVEL_COUNT; i++)
        if (levels[i].has())
            names[count++] = levels[i].level.name;
    return names;
}

/* `from`: what asked for the level, for the message. */
static nnc_status choose(const char *name, const char *from)
{
    char available[64] = "";
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (!levels[i].has())
            continue;
        if (strcmp(levels[i].level.name, name) == 0) {
            nnc_kernels = &levels[i].level;
            return NNC_OK;
        }
        size_t used = strlen(available);
        snprintf(available + used, sizeof available - used, "%s%s", used ? ", " : "",
                 levels[i].level.name);
    }
    return nnc_fail(NNC_EVALUE, "%s: this processor has the levels %s. Received: %s", from,
                    available, name);
}

nnc_status nnc_isa_set(const char *name)
{
    return choose(name, "set_isa");
}

nnc_status nnc_init(void)
{
    const char *wanted = getenv("NNC_ISA");
    if (wanted && *wanted)
        return choose(wanted, "NNC_ISA");
    for (int i = 0; i < LEVEL_COUNT; i++)
        if (levels[i].prefers() && levels[i].has())
            nnc_kernels = &levels[i].level;
    return NNC_OK;
}

const char *nnc_isa_name(void)
{
    return nnc_kernels->name;
}
