/* cpus.h - how many processors this process may keep busy. */
#ifndef NNC_CORE_CPUS_H
#define NNC_CORE_CPUS_H

/* The least of what the machine has, the affinity mask allows and the container's quota gives; at
 * least 1. *reason: which it was, a text that stays. */
int nnc_cpus_allowed(const char **reason);

/* The CPU quota of a process in whole processors, rounded up; 0: none. membership: a file like
 * /proc/self/cgroup; root: where the cgroup file systems are mounted, like /sys/fs/cgroup. */
int nnc_cpus_quota(const char *membership, const char *root);

#endif
