// SPDX-License-Identifier: Apache-2.0
/* The shim's parts: frame.c (bytes), plugin.c (one running plugin), agent.c (the way to the agent), serve.c
   (what the agent asks of us), cgroup.c (ours, and the way into the runtime's), main.c (a call), executor.c (plugins
   without a call). */
#ifndef METACNI_SHIM_H
#define METACNI_SHIM_H

#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The frame format. frames.md states it; a test compares its tables with these lines and with exec/frames.py. */
enum {
    MAGIC = 0x4D43,
    VERSION = 1,
    HEADER_SIZE = 12,
    MAX_FRAME = 8388608,
    MAX_STDIN = 4194304,
    MAX_STDOUT = 1048576,
    MAX_STDERR = 65536,
    MAX_TYPES = 64,
    MAX_ENV = 256,
    MAX_CGROUP = 4096,
    HAS_NETNS = 1,
    HAS_CGROUP = 2,
    TRUNCATED = 1,
};
enum type { CALL = 1, FOUND = 2, STARTED = 3, DONE = 4, FIND = 5, EXEC = 6, KILL = 7, RESULT = 8 };
enum how { EXITED = 0, SIGNALLED = 1, ABSENT = 2, FAILED = 3 };

#ifndef SECOND
#define SECOND 1000 /* milliseconds; tests are built with shorter ones, so that they need no knob in production */
#endif
#ifndef AGENT_UID
#define AGENT_UID 0 /* whom to trust at the other end; tests without root are built with their own */
#endif

enum { MAX_FIELDS = 3 + MAX_ENV }; /* of a frame to the shim: EXEC has the most */

struct head {
    enum type type;
    uint32_t tag, length;
};
struct field { /* always followed by a NUL that is not counted */
    char *text;
    uint32_t size;
};
struct fields {
    struct field at[MAX_FIELDS];
    size_t count;
};
struct buffer { /* grows up to a limit; the first put beyond it, or beyond memory, sets failed and puts stop */
    char *data;
    size_t size, room, limit;
    bool failed;
};
struct inbox { /* one frame on its way in */
    uint8_t raw[HEADER_SIZE];
    size_t have;
    struct head head;
    char *payload;
};

void put(struct buffer *buffer, const void *data, size_t size);
void put_text(struct buffer *buffer, const char *text);
void put_json(struct buffer *buffer, const char *text);
bool json_version(const char *json, size_t size, char *version, size_t room);
void frame_begin(struct buffer *buffer, enum type type, uint32_t tag);
void frame_field(struct buffer *buffer, const void *data, size_t size);
bool frame_end(struct buffer *buffer);
const char *head_read(const uint8_t raw[HEADER_SIZE], struct head *head);
const char *fields_read(enum type type, char *payload, size_t size, struct fields *fields);

struct plugin {
    bool active;
    uint32_t tag;
    pid_t pid; /* 0 while it waits for its next attempt */
    char *payload; /* of its EXEC, which the fields point into */
    struct fields fields;
    char file[PATH_MAX];
    char **environment;
    int in, out, err, report, live;
    size_t written;
    struct buffer output, errors;
    bool truncated;
    int retries;
    int64_t retry_at;
    enum how how;
    uint32_t value;
};

bool plugin_find(const char *type, const char *path, char file[PATH_MAX]);
int plugin_begin(struct plugin *plugin, uint32_t tag, char *payload, const struct fields *fields);
void plugin_start(struct plugin *plugin);
void plugin_watch(const struct plugin *plugin, struct pollfd polls[3]);
bool plugin_step(struct plugin *plugin);
void plugin_kill(struct plugin *plugin);
bool plugin_end(struct plugin *plugin, struct buffer *done);
void plugin_drop(struct plugin *plugin);

int64_t now(void);
void nap(int64_t milliseconds);
bool write_all(int fd, const char *data, size_t size);
int agent_connect(const char *path);
bool agent_trusted(int fd, uid_t *uid);
int64_t agent_age(const char *folder, const char *socket);
bool agent_send(int fd, const struct buffer *frame, int passed, int64_t deadline);
int agent_receive(int fd, struct inbox *inbox, const char **problem);
bool valid_id(const char *id);
int record(const char *folder, const char *id, const struct buffer *frame);

int serve_children(void);
bool serve_wait(int fd, int children, const struct plugin *plugin, int64_t deadline);
const char *serve_read(const struct plugin *plugin, struct inbox *inbox, struct fields *fields);
bool serve_frame(int fd, struct plugin *plugin, struct inbox *inbox, const struct fields *fields, int64_t deadline);
bool serve_plugin(int fd, struct plugin *plugin, struct buffer *done, int64_t deadline);

size_t cgroup_own(char text[MAX_CGROUP]);
const char *cgroup_join(const char *which);

int executor(int argc, char **argv);

#endif
