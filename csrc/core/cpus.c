/* cpus.c - see cpus.h. A quota of any group above the process holds for it too, so all are read
 * and the least counts. In a container the path may be the host's and not exist; its root is then
 * the container. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst and
 * scheduler/sched-bwc.rst. */
#define _GNU_SOURCE
#include "core/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FILE_BYTES = 2 * PATH_BYTES };

/* The first `count` numbers of folder/name; how many there were. */
static int read_numbers(const char *folder, const char *name, long long *numbers, int count)
{
    char path[FILE_BYTES];
    int found = 0;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (found < count && fscanf(file, "%lld", &numbers[found]) == 1)
        found++;
    fclose(file);
    return found;
}

/* The quota of one group, 0 if it has none. */
static int group_quota(const char *folder)
{
    long long v[2];     /* microseconds: quota, period */
    bool known = read_numbers(folder, "cpu.max", v, 2) == 2 ||
        (read_numbers(folder, "cpu.cfs_quota_us", v, 1) == 1 &&
         read_numbers(folder, "cpu.cfs_period_us", v + 1, 1) == 1);
    if (!known || v[0] <= 0 || v[1] <= 0)
        return 0;
    long long cpus = v[0] / v[1] + (v[0] % v[1] != 0);
    return cpus < INT_MAX ? (int)cpus : INT_MAX;
}

/* The least quota from the group root/mount/path up to root/mount; 0: none. */
static int least_quota(const char *root, const char *mount, const char *path)
{
    char folder[FILE_BYTES];
    int least = 0;
    int top = snprintf(folder, sizeof folder, "%s%s%s", root, *mount ? "/" : "", mount);
    int end = snprintf(folder, sizeof folder, "%s%s%s%s", root, *mount ? "/" : "", mount, path);
    if (top < 0 || end < top || end >= (int)sizeof folder)
        return 0;
    for (;;) {
        int quota = group_quota(folder);
        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
        while (end > top && folder[end - 1] != '/')
            end--;
        if (end <= top)
            return least;
        folder[--end] = '\0';
    }
}

static bool lists_cpu(const char *controllers)
{
    size_t length;
    for (const char *c = controllers; *c != '\0'; c += length + (c[length] == ',')) {
        length = strcspn(c, ",");
        if (length == 3 && strncmp(c, "cpu", 3) == 0)
            return true;
    }
    return false;
}

int nnc_cpus_quota(const char *membership, const char *root)
{
    char line[PATH_BYTES];
    int least = 0;
    FILE *file = fopen(membership, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL) {        /* number:controllers:/path */
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        controllers++;
        if (*controllers != '\0' && !lists_cpu(controllers))
            continue;
        const char *mounts[2] = {controllers, "cpu"};       /* version 2 has one, at the root */
        for (int i = 0; i < (*controllers != '\0' ? 2 : 1); i++) {
            int quota = least_quota(root, mounts[i], path);
            if (quota > 0 && (least == 0 || quota < least))
                least = quota;
        }
    }
    fclose(file);
    return least;
}

/* Processors in the affinity mask; 0: not known. */
static int affinity(void)
{
    int cpus = 0;
#if defined(__linux__)
    for (int room = 1024; room <= 1 << 16 && cpus == 0; room *= 4) {    /* EINVAL: more than that */
        cpu_set_t *set = CPU_ALLOC((size_t)room);
        size_t bytes = CPU_ALLOC_SIZE((size_t)room);
        if (set != NULL && sched_getaffinity(0, bytes, set) == 0)
            cpus = CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
    }
#endif
    return cpus;
}

int nnc_cpus_allowed(const char **reason)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int cpus = online > 0 ? (int)online : 1;
    *reason = "hardware";
    int mask = affinity();
    if (mask > 0 && mask < cpus) {
        cpus = mask;
        *reason = "affinity";
    }
    int quota = nnc_cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota > 0 && quota < cpus) {
        cpus = quota;
        *reason = "cgroup quota";
    }
    return cpus;
}
