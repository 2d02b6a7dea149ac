/* Writes down what a process looks up, connects to and writes, for a test that nothing leaves it: loaded by LD_PRELOAD.
 *
 * Each line of the file that COLDFRAME_TEST_WATCH names is a word and what it is about: "lookup HOST", "connect FAMILY",
 * "write PATH". Children are watched too, as long as they keep their environment. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* By system calls of its own, so that nothing here is watched or waits for a lock. */
static void note(const char *word, const char *what) {
    const char *file = getenv("COLDFRAME_TEST_WATCH");
    char line[2 * PATH_MAX];
    int kept = errno, length, log;
    if (file == NULL)
        return;
    length = snprintf(line, sizeof line, "%s %s\n", word, what ? what : "?");
    if (length >= (int)sizeof line)
        length = sizeof line - 1;
    log = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log >= 0) {
        syscall(SYS_write, log, line, length);
        syscall(SYS_close, log);
    }
    errno = kept;
}

static void note_path(int folder, const char *path) {
    char link[64], absolute[PATH_MAX], whole[2 * PATH_MAX];
    ssize_t length;
    if (path == NULL || path[0] == '/') {
        note("write", path);
        return;
    }
    if (folder == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = readlink(link, absolute, sizeof absolute - 1);
    absolute[length > 0 ? length : 0] = 0;
    snprintf(whole, sizeof whole, "%s/%s", absolute, path);
    note("write", whole);
}

static int writes(int flags) { return flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND); }

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                           \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }                                                                                                                  \
    if (writes(flags))

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        REAL(name);                                                                                                    \
        MODE(flags) note_path(AT_FDCWD, path);                                                                         \
        return real(path, flags, mode);                                                                                \
    }
#define OPENAT(name)                                                                                                   \
    int name(int folder, const char *path, int flags, ...) {                                                           \
        REAL(name);                                                                                                    \
        MODE(flags) note_path(folder, path);                                                                           \
        return real(folder, path, flags, mode);                                                                        \
    }
#define FOPEN(name)                                                                                                    \
    FILE *name(const char *path, const char *how) {                                                                    \
        REAL(name);                                                                                                    \
        if (strpbrk(how, "wa+"))                                                                                       \
            note_path(AT_FDCWD, path);                                                                                 \
        return real(path, how);                                                                                        \
    }
#define ONE_PATH(type, name, arguments, call, path)                                                                    \
    type name arguments {                                                                                              \
        REAL(name);                                                                                                    \
        note_path(AT_FDCWD, path);                                                                                     \
        return real call;                                                                                              \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
FOPEN(fopen)
FOPEN(fopen64)
ONE_PATH(int, creat, (const char *path, mode_t mode), (path, mode), path)
ONE_PATH(int, creat64, (const char *path, mode_t mode), (path, mode), path)
ONE_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode), path)
ONE_PATH(int, rename, (const char *from, const char *to), (from, to), to)
ONE_PATH(int, link, (const char *from, const char *to), (from, to), to)
ONE_PATH(int, symlink, (const char *from, const char *to), (from, to), to)
ONE_PATH(int, mkfifo, (const char *path, mode_t mode), (path, mode), path)
ONE_PATH(int, mkstemp, (char *path), (path), path)
ONE_PATH(int, mkstemp64, (char *path), (path), path)
ONE_PATH(int, mkostemp, (char *path, int flags), (path, flags), path)
ONE_PATH(int, mkostemp64, (char *path, int flags), (path, flags), path)
ONE_PATH(int, mkstemps, (char *path, int suffix), (path, suffix), path)
ONE_PATH(char *, mkdtemp, (char *path), (path), path)

int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(mkdirat);
    note_path(folder, path);
    return real(folder, path, mode);
}

int renameat(int from_folder, const char *from, int folder, const char *to) {
    REAL(renameat);
    note_path(folder, to);
    return real(from_folder, from, folder, to);
}

int renameat2(int from_folder, const char *from, int folder, const char *to, unsigned flags) {
    REAL(renameat2);
    note_path(folder, to);
    return real(from_folder, from, folder, to, flags);
}

int linkat(int from_folder, const char *from, int folder, const char *to, int flags) {
    REAL(linkat);
    note_path(folder, to);
    return real(from_folder, from, folder, to, flags);
}

int symlinkat(const char *from, int folder, const char *to) {
    REAL(symlinkat);
    note_path(folder, to);
    return real(from, folder, to);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    REAL(getaddrinfo);
    note("lookup", host);
    return real(host, service, hints, found);
}

struct hostent *gethostbyname(const char *host) {
    REAL(gethostbyname);
    note("lookup", host);
    return real(host);
}

struct hostent *gethostbyname2(const char *host, int family) {
    REAL(gethostbyname2);
    note("lookup", host);
    return real(host, family);
}

int gethostbyname_r(const char *host, struct hostent *entry, char *buffer, size_t size, struct hostent **found, int *error) {
    REAL(gethostbyname_r);
    note("lookup", host);
    return real(host, entry, buffer, size, found, error);
}

int gethostbyname2_r(const char *host, int family, struct hostent *entry, char *buffer, size_t size, struct hostent **found,
                     int *error) {
    REAL(gethostbyname2_r);
    note("lookup", host);
    return real(host, family, entry, buffer, size, found, error);
}

static void note_address(const struct sockaddr *address) {
    char family[16];
    if (address == NULL || address->sa_family == AF_UNIX || address->sa_family == AF_UNSPEC || address->sa_family == AF_NETLINK)
        return;
    snprintf(family, sizeof family, "%d", address->sa_family);
    note("connect", family);
}

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    REAL(connect);
    note_address(address);
    return real(socket, address, length);
}

ssize_t sendto(int socket, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    REAL(sendto);
    note_address(address);
    return real(socket, data, size, flags, address, length);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    note_address(message->msg_name);
    return real(socket, message, flags);
}
