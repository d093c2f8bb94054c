#include "points_format.h"

/* Whether the bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates), without NUL if so asked. */
int points_utf8(const uint8_t* p, size_t length, int refuse_nul) {
    size_t at = 0;
    while (at < length) {
        uint8_t c = p[at];
        if (c < 0x80) {
            if (c == 0 && refuse_nul) return 0;
            at++;
            continue;
        }
        size_t more = c < 0xC2 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF5 ? 3 : 0;
        if (!more || length - at <= more) return 0;
        uint8_t second = p[at + 1];
        if ((c == 0xE0 && second < 0xA0) || (c == 0xED && second > 0x9F) || (c == 0xF0 && second < 0x90) ||
            (c == 0xF4 && second > 0x8F))
            return 0;
        for (size_t i = 1; i <= more; i++)
            if ((p[at + i] & 0xC0) != 0x80) return 0;
        at += more + 1;
    }
    return 1;
}

static uint64_t big_endian(const uint8_t* p, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value = value << 8 | p[i];
    return value;
}

/* What the head of a MessagePack value says: bytes of the head, bytes after it, values after it. */
typedef struct {
    size_t head;
    uint64_t bytes, values;
    int text, map;
} msgpack_head;

static int read_head(const uint8_t* p, size_t left, msgpack_head* out) {
    uint8_t c = p[0];
    memset(out, 0, sizeof *out);
    out->head = 1;
    if (c < 0x80 || c >= 0xE0 || c == 0xC0 || c == 0xC2 || c == 0xC3) return 1;
    if (c < 0x90) { out->map = 1; out->values = 2 * (uint64_t)(c & 15); return 1; }
    if (c < 0xA0) { out->values = c & 15; return 1; }
    if (c < 0xC0) { out->text = 1; out->bytes = c & 31; return 1; }
    if (c >= 0xCA && c <= 0xD3) {
        static const uint8_t sizes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
        out->bytes = sizes[c - 0xCA];
        return 1;
    }
    size_t size;
    switch (c) {
        case 0xC4: case 0xD9: size = 1; break;
        case 0xC5: case 0xDA: case 0xDC: case 0xDE: size = 2; break;
        case 0xC6: case 0xDB: case 0xDD: case 0xDF: size = 4; break;
        default: return 0; /* 0xC1 is never used; extension types mean nothing here */
    }
    if (left < 1 + size) return 0;
    uint64_t count = big_endian(p + 1, size);
    out->head = 1 + size;
    if (c <= 0xC6) { out->bytes = count; }
    else if (c <= 0xDB) { out->text = 1; out->bytes = count; }
    else if (c <= 0xDD) { out->values = count; }
    else { out->map = 1; out->values = 2 * count; }
    return 1;
}

/* Whether the bytes are exactly one MessagePack value: maps have text keys, text is UTF-8, no extension types. */
int points_msgpack(const uint8_t* p, size_t length) {
    uint64_t open[POINTS_MAX_DEPTH]; /* values that are still to come, of each container that is open */
    uint8_t is_map[POINTS_MAX_DEPTH];
    size_t depth = 0, at = 0;
    do {
        msgpack_head head;
        if (at >= length || !read_head(p + at, length - at, &head)) return 0;
        if (depth) {
            if (is_map[depth - 1] && open[depth - 1] % 2 == 0 && !head.text) return 0;
            open[depth - 1]--;
        }
        at += head.head;
        if (head.bytes > length - at) return 0;
        if (head.text && !points_utf8(p + at, (size_t)head.bytes, 0)) return 0;
        at += (size_t)head.bytes;
        if (head.values) {
            /* Each value takes a byte: a count that cannot be true is refused before it is counted down. */
            if (head.values > length - at || depth == POINTS_MAX_DEPTH) return 0;
            open[depth] = head.values;
            is_map[depth++] = (uint8_t)head.map;
        }
        while (depth && open[depth - 1] == 0) depth--;
    } while (depth);
    return at == length;
}

typedef struct {
    const uint8_t* data;
    size_t at, end; /* end: of the frame */
} cursor;

static int all_zero(const uint8_t* p, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (p[i]) return 0;
    return 1;
}

static int parse_axis(cursor* c, uint8_t mode, uint32_t rows, points_axis* axis) {
    if (mode > AXIS_OFFSETS) return POINTS_AXIS;
    size_t size = points_axis_size(mode, rows);
    if (size > c->end - c->at) return POINTS_CUT_OFF;
    const uint8_t* p = c->data + c->at;
    axis->mode = mode;
    axis->at = c->at;
    if (mode == AXIS_STRIDE) {
        int64_t span, last;
        if (__builtin_mul_overflow(points_i64(p + 8), (int64_t)rows - 1, &span) ||
            __builtin_add_overflow(points_i64(p), span, &last))
            return POINTS_AXIS_OVERFLOW;
    } else if (mode == AXIS_OFFSETS) {
        uint32_t greatest = 0;
        int64_t last;
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t offset = points_u32(p + 8 + 4 * (size_t)i);
            if (offset > greatest) greatest = offset;
        }
        if (__builtin_add_overflow(points_i64(p), (int64_t)greatest, &last)) return POINTS_AXIS_OVERFLOW;
        if (!all_zero(p + 8 + 4 * (size_t)rows, size - 8 - 4 * (size_t)rows)) return POINTS_PADDING;
    }
    c->at += size;
    return POINTS_OK;
}

static int check_objects(const uint8_t* p, size_t length, uint32_t rows) {
    size_t table = 4 * ((size_t)rows + 1);
    if (length < table) return POINTS_COLUMN;
    size_t room = length - table;
    const uint8_t* bytes = p + table;
    uint32_t start = points_u32(p);
    if (start != 0 || points_u32(p + 4 * (size_t)rows) != room) return POINTS_OFFSETS;
    for (uint32_t i = 1; i <= rows; i++) {
        uint32_t stop = points_u32(p + 4 * (size_t)i);
        if (stop < start || stop > room) return POINTS_OFFSETS;
        if (!points_msgpack(bytes + start, stop - start)) return POINTS_OBJECT_VALUE;
        start = stop;
    }
    return POINTS_OK;
}

static int parse_column(cursor* c, uint32_t rows, points_column* column) {
    if (c->end - c->at < POINTS_COLUMN_HEADER) return POINTS_CUT_OFF;
    const uint8_t* p = c->data + c->at;
    column->name_length = points_u16(p);
    column->kind = p[2];
    column->length = points_u32(p + 4);
    if (column->kind > POINTS_OBJECT) return POINTS_KIND;
    if (p[3]) return POINTS_RESERVED;
    if (column->name_length == 0 || column->name_length > POINTS_MAX_NAME) return POINTS_NAME;
    c->at += POINTS_COLUMN_HEADER;
    size_t name = points_padded(column->name_length), data = points_padded(column->length);
    if (name > c->end - c->at || data > c->end - c->at - name) return POINTS_CUT_OFF;
    column->name = c->at;
    column->data = c->at + name;
    if (!points_utf8(c->data + column->name, column->name_length, 1)) return POINTS_NAME;
    if (!all_zero(c->data + column->name + column->name_length, name - column->name_length) ||
        !all_zero(c->data + column->data + column->length, data - column->length))
        return POINTS_PADDING;
    if (column->kind != POINTS_OBJECT && column->length != 8 * (size_t)rows) return POINTS_COLUMN;
    c->at += name + data;
    if (column->kind == POINTS_OBJECT) {
        size_t after = c->at;
        c->at = column->data;
        int error = check_objects(c->data + column->data, column->length, rows);
        if (error) return error;
        c->at = after;
    }
    return POINTS_OK;
}

static int parse_frame(cursor* c, points_frame* frame, points_batch* batch) {
    const uint8_t* p = c->data + c->at;
    frame->rows = points_u32(p + 4);
    frame->keys = points_u32(p + 8);
    if (frame->rows == 0 || frame->rows > POINTS_MAX_ROWS) return POINTS_ROWS;
    if (frame->keys == 0 || frame->keys > POINTS_MAX_KEYS) return POINTS_KEYS;
    if (points_u16(p + 14)) return POINTS_RESERVED;
    c->at += POINTS_FRAME_HEADER;
    int error = parse_axis(c, p[12], frame->rows, &frame->steps);
    if (!error) error = parse_axis(c, p[13], frame->rows, &frame->times);
    if (error) return error;
    /* A column takes a header, a name and data: what the frame has no room for is not allocated. */
    if (frame->keys > (c->end - c->at) / (POINTS_COLUMN_HEADER + 8)) return POINTS_CUT_OFF;
    frame->first_column = batch->column_count;
    if (batch->column_count + frame->keys > batch->column_room) {
        size_t room = batch->column_count + frame->keys;
        if (room < 2 * batch->column_room) room = 2 * batch->column_room;
        points_column* grown = realloc(batch->columns, room * sizeof *grown);
        if (!grown) return POINTS_NO_MEMORY;
        batch->columns = grown;
        batch->column_room = room;
    }
    for (uint32_t i = 0; i < frame->keys; i++) {
        error = parse_column(c, frame->rows, &batch->columns[batch->column_count]);
        if (error) return error;
        batch->column_count++;
    }
    return c->at == c->end ? POINTS_OK : POINTS_TRAILING;
}

static int parse_frames(cursor* c, size_t length, points_batch* batch, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (length - c->at < POINTS_FRAME_HEADER) return POINTS_CUT_OFF;
        size_t size = points_u32(c->data + c->at);
        if (size % 8 || size < POINTS_FRAME_HEADER) return POINTS_LENGTH;
        if (size > length - c->at) return POINTS_CUT_OFF;
        c->end = c->at + size;
        int error = parse_frame(c, &batch->frames[i], batch);
        if (error) return error;
        batch->frame_count++;
    }
    return c->at == length ? POINTS_OK : POINTS_TRAILING;
}

/* Fills `batch`, which points_free empties, from bytes of any content; POINTS_OK, or what is wrong at batch->at. */
int points_parse(const uint8_t* data, size_t length, points_batch* batch) {
    cursor c = {data, 0, length};
    memset(batch, 0, sizeof *batch);
    if (length < POINTS_HEADER) return POINTS_CUT_OFF;
    if (memcmp(data, "RSPB", 4) || points_u16(data + 4) != POINTS_VERSION || points_u16(data + 6)) return POINTS_MAGIC;
    if (points_u32(data + 12) != length) return POINTS_LENGTH;
    uint32_t count = points_u32(data + 8);
    if (count > (length - POINTS_HEADER) / POINTS_FRAME_HEADER) return POINTS_CUT_OFF;
    batch->frames = malloc((count ? count : 1) * sizeof *batch->frames);
    if (!batch->frames) return POINTS_NO_MEMORY;
    c.at = POINTS_HEADER;
    int error = parse_frames(&c, length, batch, count);
    batch->at = c.at;
    if (error) points_free(batch);
    return error;
}

void points_free(points_batch* batch) {
    free(batch->frames);
    free(batch->columns);
    batch->frames = NULL;
    batch->columns = NULL;
}
