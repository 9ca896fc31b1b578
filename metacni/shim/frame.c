// SPDX-License-Identifier: Apache-2.0
/* Frames and the little JSON that the shim needs: bytes in, bytes out. No file, no process: this part is fuzzed. */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t get32(const void *from)
{
    const uint8_t *byte = from;
    return (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 | (uint32_t)byte[3] << 24;
}

static void set32(void *to, size_t value)
{
    uint8_t *byte = to;
    for (int i = 0; i < 4; i++)
        byte[i] = (uint8_t)(value >> (8 * i));
}

void put(struct buffer *buffer, const void *data, size_t size)
{
    if (buffer->failed || size == 0)
        return;
    if (size > buffer->limit - buffer->size) {
        buffer->failed = true;
        return;
    }
    size_t need = buffer->size + size;
    if (need > buffer->room) {
        size_t room = need > buffer->limit / 2 ? buffer->limit : need * 2;
        char *grown = realloc(buffer->data, room);
        if (!grown) {
            buffer->failed = true;
            return;
        }
        buffer->data = grown;
        buffer->room = room;
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size = need;
}

void put_text(struct buffer *buffer, const char *text)
{
    put(buffer, text, strlen(text));
}

/* A JSON string. What is not ASCII becomes '?': a path may hold any bytes, and they must not break the JSON. */
void put_json(struct buffer *buffer, const char *text)
{
    put_text(buffer, "\"");
    for (; *text; text++) {
        char escaped[8] = {*text, 0};
        if (*text == '"' || *text == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)*text);
        else if ((unsigned char)*text > 0x7e)
            escaped[0] = '?';
        put_text(buffer, escaped);
    }
    put_text(buffer, "\"");
}

static size_t skip_space(const char *json, size_t size, size_t at)
{
    while (at < size && (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r'))
        at++;
    return at;
}

static size_t string_end(const char *json, size_t size, size_t at)
{
    while (at < size && json[at] != '"')
        at += json[at] == '\\' ? 2 : 1;
    return at < size ? at : size;
}

static bool copy_version(const char *text, size_t length, char *version, size_t room)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-";
    if (length == 0 || length >= room)
        return false;
    memcpy(version, text, length);
    version[length] = 0;
    if (strspn(version, allowed) == length)
        return true;
    version[0] = 0;
    return false;
}

/* Finds cniVersion on the top level: enough to echo it and to stamp an error. The agent parses in earnest. */
bool json_version(const char *json, size_t size, char *version, size_t room)
{
    static const char key[] = "cniVersion";
    int depth = 0;
    for (size_t at = 0; at < size; at++) {
        if (json[at] == '{' || json[at] == '[')
            depth++;
        else if (json[at] == '}' || json[at] == ']')
            depth--;
        if (json[at] != '"')
            continue;
        size_t start = at + 1;
        at = string_end(json, size, start);
        if (depth != 1 || at - start != sizeof key - 1 || memcmp(json + start, key, sizeof key - 1) != 0)
            continue;
        size_t colon = skip_space(json, size, at + 1);
        size_t quote = skip_space(json, size, colon + 1);
        if (quote >= size || json[colon] != ':' || json[quote] != '"')
            continue;
        return copy_version(json + quote + 1, string_end(json, size, quote + 1) - quote - 1, version, room);
    }
    return false;
}

void frame_begin(struct buffer *buffer, enum type type, uint32_t tag)
{
    uint8_t head[HEADER_SIZE] = {MAGIC & 0xff, MAGIC >> 8, VERSION, (uint8_t)type};
    set32(head + 4, tag);
    buffer->size = 0;
    buffer->limit = MAX_FRAME;
    buffer->failed = false;
    put(buffer, head, sizeof head);
}

void frame_field(struct buffer *buffer, const void *data, size_t size)
{
    uint8_t length[4];
    if (size > MAX_FRAME)
        buffer->failed = true;
    set32(length, size);
    put(buffer, length, sizeof length);
    put(buffer, data, size);
}

bool frame_end(struct buffer *buffer)
{
    if (!buffer->failed)
        set32(buffer->data + 8, buffer->size - HEADER_SIZE);
    return !buffer->failed;
}

/* NULL, or what is wrong. */
const char *head_read(const uint8_t raw[HEADER_SIZE], struct head *head)
{
    if (raw[0] != (MAGIC & 0xff) || raw[1] != MAGIC >> 8)
        return "it does not start as one";
    if (raw[2] != VERSION)
        return "its version is another: shim and agent are of different releases";
    head->type = (enum type)raw[3];
    head->tag = get32(raw + 4);
    head->length = get32(raw + 8);
    if (head->type < FIND || head->type > RESULT)
        return "its type is unknown";
    if (head->length > MAX_FRAME - HEADER_SIZE)
        return "it is too long";
    return NULL;
}

/* Cuts a payload into fields. Each gets a NUL behind it, over the length of the next: payload has one byte to spare. */
static bool split(char *payload, size_t size, struct fields *fields)
{
    fields->count = 0;
    for (size_t at = 0; at < size;) {
        if (size - at < 4 || fields->count == MAX_FIELDS)
            return false;
        struct field *field = &fields->at[fields->count++];
        field->size = get32(payload + at);
        field->text = payload + at + 4;
        if (field->size > size - at - 4)
            return false;
        at += 4 + (size_t)field->size;
    }
    for (size_t i = 0; i < fields->count; i++)
        fields->at[i].text[fields->at[i].size] = 0;
    return true;
}

static bool is_text(const struct field *field)
{
    return strlen(field->text) == field->size;
}

/* The environment of a plugin is the runtime's: the agent may replace CNI_ variables and no others. */
static bool is_variable(const struct field *field)
{
    return is_text(field) && strncmp(field->text, "CNI_", 4) == 0 && strchr(field->text, '=');
}

static bool all(const struct fields *fields, size_t from, bool (*is)(const struct field *))
{
    for (size_t i = from; i < fields->count; i++)
        if (!is(&fields->at[i]))
            return false;
    return true;
}

/* NULL, or what is wrong; `payload` must have room for one byte after its `size`. */
const char *fields_read(enum type type, char *payload, size_t size, struct fields *fields)
{
    if (!split(payload, size, fields))
        return "its fields do not fill it exactly";
    size_t count = fields->count;
    bool good = false;
    if (type == FIND)
        good = count >= 1 && count <= 1 + MAX_TYPES && all(fields, 0, is_text);
    else if (type == EXEC)
        good = count >= 3 && is_text(&fields->at[0]) && is_text(&fields->at[1]) && fields->at[2].size <= MAX_STDIN &&
               all(fields, 3, is_variable);
    else if (type == KILL)
        good = count == 0;
    else if (type == RESULT)
        good = count == 3 && fields->at[0].size == 1;
    return good ? NULL : "a field is missing or of the wrong form";
}
