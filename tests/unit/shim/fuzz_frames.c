// SPDX-License-Identifier: Apache-2.0
/*
 * Feeds the shim's parser with damaged frames, along the way that real ones take: a socket, agent_receive, fields_read.
 * Usage: fuzz_frames SEED COUNT. Prints how many inputs were taken and refused; a fault ends it through a sanitizer.
 */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t state;

static uint32_t dice(uint32_t sides)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % sides;
}

static void random_field(struct buffer *frame, const char *prefix, uint32_t most)
{
    char text[4096];
    size_t size = strlen(prefix), more = dice(most + 1);
    memcpy(text, prefix, size);
    for (size_t i = 0; i < more; i++)
        text[size++] = (char)(dice(50) ? 'a' + (int)dice(26) : (int)dice(256));
    frame_field(frame, text, size);
}

static void valid_frame(struct buffer *frame)
{
    static const enum type types[] = {FIND, EXEC, KILL, RESULT, EXEC, FIND};
    enum type type = types[dice(6)];
    uint32_t more = dice(30) ? dice(8) : dice(300);
    frame_begin(frame, type, dice(1000));
    if (type == FIND || type == EXEC)
        random_field(frame, "bridge", 4);
    if (type == EXEC) {
        random_field(frame, "/opt/cni/bin:", 40);
        random_field(frame, "{\"cniVersion\":\"1.0.0\"}", 2000);
    }
    if (type == RESULT) {
        random_field(frame, "", 0);
        frame->data[frame->size - 4] = 1; /* its only field of one byte */
        put(frame, "\1", 1);
        random_field(frame, "{}", 3000);
        random_field(frame, "", 300);
    }
    for (uint32_t i = 0; i < more && (type == FIND || type == EXEC); i++)
        random_field(frame, type == EXEC ? "CNI_X=" : "", 30);
    frame_end(frame);
}

static void damage(struct buffer *frame)
{
    static const uint32_t sizes[] = {0, 1, 3, 4, 0x7fffffff, 0x80000000, ~3u, ~0u, MAX_FRAME, MAX_FRAME - 12};
    for (uint32_t i = dice(4); i > 0; i--) {
        uint32_t at = dice((uint32_t)frame->size), how = dice(5);
        if (how == 0)
            frame->data[at] = (char)dice(256);
        else if (how == 1)
            frame->data[at] = (char)(frame->data[at] ^ (1 << dice(8)));
        else if (how == 2 && at > 0)
            frame->size = at;
        else if (how == 3 && at + 4 <= frame->size)
            memcpy(frame->data + at, &sizes[dice(10)], 4);
        else if (how == 4 && frame->size > 12) /* the header agrees with the damage, so that the fields are reached */
            frame_end(frame);
    }
}

/* What the shim relies on once a frame is accepted. */
static void use(enum type type, const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->at[i];
        bool text = type == FIND || (type == EXEC && i != 2);
        if (field->text[field->size] != 0 || (text && strlen(field->text) != field->size) ||
            (type == EXEC && i > 2 && strncmp(field->text, "CNI_", 4) != 0))
            abort();
    }
    if (type == EXEC)
        plugin_find("fuzz", "", (char[PATH_MAX]){0});
}

static bool try(const struct buffer *frame)
{
    static struct fields fields;
    struct inbox inbox = {.have = 0};
    const char *problem = NULL;
    int ends[2], got = 0;
    size_t half = dice((uint32_t)frame->size + 1);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0 || !write_all(ends[0], frame->data, half))
        abort();
    got = half ? agent_receive(ends[1], &inbox, &problem) : 0;
    if (got == 0 && write_all(ends[0], frame->data + half, frame->size - half))
        got = agent_receive(ends[1], &inbox, &problem);
    close(ends[0]);
    close(ends[1]);
    bool good = got == 1 && !fields_read(inbox.head.type, inbox.payload, inbox.head.length, &fields);
    if (good)
        use(inbox.head.type, &fields);
    free(inbox.payload);
    return good;
}

/* The same bytes as a network configuration: the scanner for its version reads what the runtime sends. */
static void scan(const struct buffer *frame)
{
    static const char start[] = "{\"a\":[\"\\\\\"],\"cniVersion\" : \"1.0.0\"";
    struct buffer escaped = {.limit = 65536};
    char version[32] = "";
    size_t cut = dice(sizeof start);
    char *json = malloc(cut + frame->size); /* exactly: one byte further is a fault */
    if (!json)
        abort();
    memcpy(json, start, cut);
    memcpy(json + cut, frame->data, frame->size);
    json_version(json, cut + frame->size, version, sizeof version);
    free(json);
    if (strlen(version) >= sizeof version)
        abort();
    put_json(&escaped, version);
    free(escaped.data);
}

int main(int argc, char **argv)
{
    long count = argc == 3 ? atol(argv[2]) : 0, good = 0;
    struct buffer frame = {0};
    state = argc == 3 ? (uint64_t)atol(argv[1]) * 2654435761u + 1 : 1;
    for (long i = 0; i < count; i++) {
        valid_frame(&frame);
        damage(&frame);
        good += try(&frame);
        scan(&frame);
    }
    printf("%ld taken, %ld refused\n", good, count - good);
    free(frame.data);
    return 0;
}
