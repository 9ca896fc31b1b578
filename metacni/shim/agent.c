// SPDX-License-Identifier: Apache-2.0
/* The way to the agent: its socket, the signs that it lives, and the record of a DEL for when it does not. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

void nap(int64_t milliseconds)
{
    poll(NULL, 0, (int)milliseconds);
}

bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = write(fd, data, size);
        if (sent < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        else if (sent < 0 && errno != EINTR)
            return false;
        if (sent > 0) {
            data += sent;
            size -= (size_t)sent;
        }
    }
    return true;
}

/* A connected descriptor, or the errno as a negative number. A full backlog is an error too: the caller comes again. */
int agent_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int cause = errno;
    close(fd);
    return -cause;
}

bool agent_trusted(int fd, uid_t *uid)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    *uid = peer.uid;
    return peer.uid == AGENT_UID;
}

/* Seconds since an agent last lived; the largest number if none ever did. */
int64_t agent_age(const char *folder, const char *socket)
{
    char alive[PATH_MAX];
    struct stat seen;
    if (snprintf(alive, sizeof alive, "%s/alive", folder) >= (int)sizeof alive)
        return INT64_MAX;
    if (stat(alive, &seen) < 0 && stat(socket, &seen) < 0) /* a socket alone: an agent that has only just begun */
        return INT64_MAX;
    return (int64_t)time(NULL) - (int64_t)seen.st_mtime;
}

/* Sends all of it, a descriptor with the first byte if one is given. */
bool agent_send(int fd, const struct buffer *frame, int passed, int64_t deadline)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    for (size_t at = 0; at < frame->size;) {
        struct iovec part = {.iov_base = frame->data + at, .iov_len = frame->size - at};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (passed >= 0 && at == 0) {
            control.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
            control.header.cmsg_len = CMSG_LEN(sizeof passed);
            memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
            message.msg_control = control.space;
            message.msg_controllen = sizeof control.space;
        }
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0)
            at += (size_t)sent;
        else if (errno != EAGAIN && errno != EINTR)
            return false;
        else if (now() >= deadline)
            return false;
        else
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, (int)(deadline - now()));
    }
    return true;
}

/* 1: a whole frame; 0: more is to come; -1: the agent hung up, or *problem says what is wrong. */
int agent_receive(int fd, struct inbox *inbox, const char **problem)
{
    for (;;) {
        bool head = inbox->have < HEADER_SIZE;
        size_t end = head ? HEADER_SIZE : HEADER_SIZE + (size_t)inbox->head.length;
        void *to = head ? (void *)(inbox->raw + inbox->have) : inbox->payload + (inbox->have - HEADER_SIZE);
        if (inbox->have == end)
            return 1;
        ssize_t got = recv(fd, to, end - inbox->have, MSG_DONTWAIT);
        if (got <= 0)
            return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
        inbox->have += (size_t)got;
        if (!head || inbox->have < HEADER_SIZE)
            continue;
        if ((*problem = head_read(inbox->raw, &inbox->head)))
            return -1;
        if (!(inbox->payload = malloc((size_t)inbox->head.length + 1))) {
            *problem = "no memory is left for it";
            return -1;
        }
    }
}

/* A9; this is also what keeps the record inside its folder. */
bool valid_id(const char *id)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-";
    size_t length = strlen(id);
    return length > 0 && length <= 200 && !strchr("_.-", id[0]) && strspn(id, allowed) == length;
}

static int record_write(int folder, const char *id, const struct buffer *frame)
{
    char name[32];
    snprintf(name, sizeof name, ".%d", (int)getpid());
    unlinkat(folder, name, 0); /* of a shim that was killed here and had our number */
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int cause = 0;
    if (!write_all(fd, frame->data, frame->size) || fsync(fd) < 0 || renameat(folder, name, folder, id) < 0 ||
        fsync(folder) < 0)
        cause = errno;
    close(fd);
    if (cause)
        unlinkat(folder, name, 0);
    return cause;
}

/* Puts a DEL on disk before it is tried: 0 or the errno. An older record stays, for it knows more. */
int record(const char *folder, const char *id, const struct buffer *frame)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/pending", folder) >= (int)sizeof path)
        return ENAMETOOLONG;
    if ((mkdir(folder, 0700) < 0 && errno != EEXIST) || (mkdir(path, 0700) < 0 && errno != EEXIST))
        return errno;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int cause = 0;
    if (faccessat(fd, id, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        cause = record_write(fd, id, frame);
    close(fd);
    return cause;
}
