#include "points_lines.h"

#include <float.h>
#include <math.h>

enum { MAX_NESTING = 32, MAX_DIGITS = 19 };

typedef struct {
    lines_reader* reader;
    const char *p, *end;
    char path[POINTS_MAX_NAME];
    int64_t step, time;
} scan;

typedef struct {
    uint8_t kind;
    uint64_t bits;
} number;

static uint64_t mixed(uint64_t h) {
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static uint64_t hashed(uint64_t seed, const char* p, size_t length) {
    uint64_t h = mixed(seed + length), word;
    for (; length >= 8; p += 8, length -= 8) {
        memcpy(&word, p, 8);
        h = mixed(h ^ word);
    }
    word = 0;
    memcpy(&word, p, length);
    return mixed(h ^ word);
}

/* Room for one more of `size` bytes each. */
static int grow(void** items, size_t count, size_t* room, size_t size) {
    size_t more = *room ? 2 * *room : 16;
    void* grown;
    if (count < *room) return 1;
    grown = realloc(*items, more * size);
    if (!grown) return 0;
    *items = grown;
    *room = more;
    return 1;
}

static void place(uint32_t* places, size_t size, uint64_t hash, uint32_t what) {
    size_t at = hash & (size - 1);
    while (places[at]) at = (at + 1) & (size - 1);
    places[at] = what;
}

/* Keeps a hash table at most half full, with room for one more; `hash_of` are the hashes that lie `stride` bytes apart. */
static int widen(uint32_t** places, size_t* size, size_t count, const uint8_t* hash_of, size_t stride) {
    size_t wanted = *size ? *size : 64, i;
    uint32_t* made;
    while (2 * (count + 1) > wanted) wanted *= 2;
    if (wanted == *size) return 1;
    made = calloc(wanted, sizeof *made);
    if (!made) return 0;
    for (i = 0; i < count; i++) {
        uint64_t hash;
        memcpy(&hash, hash_of + i * stride, 8);
        place(made, wanted, hash, (uint32_t)i + 1);
    }
    free(*places);
    *places = made;
    *size = wanted;
    return 1;
}

/* The number of a name, which is given one on its first use; -1 without memory. */
static int64_t name_of(lines_reader* r, const char* text, size_t length) {
    uint64_t hash = hashed(r->seed, text, length);
    lines_name* name;
    size_t at;
    if (r->name_places) {
        for (at = hash & (r->name_places_size - 1); r->name_places[at]; at = (at + 1) & (r->name_places_size - 1)) {
            name = &r->names[r->name_places[at] - 1];
            if (name->hash == hash && name->length == length && !memcmp(r->texts + name->at, text, length))
                return r->name_places[at] - 1;
        }
    }
    if (!grow((void**)&r->names, r->name_count, &r->name_room, sizeof *r->names)) return -1;
    if (!widen(&r->name_places, &r->name_places_size, r->name_count,
               (uint8_t*)r->names + offsetof(lines_name, hash), sizeof *r->names)) return -1;
    if (r->text_size + POINTS_MAX_NAME > r->text_room) {
        uint8_t* grown = realloc(r->texts, 2 * r->text_room + POINTS_MAX_NAME);
        if (!grown) return -1;
        r->texts = grown;
        r->text_room = 2 * r->text_room + POINTS_MAX_NAME;
    }
    memcpy(r->texts + r->text_size, text, length);
    name = &r->names[r->name_count];
    *name = (lines_name){.at = r->text_size, .length = (uint32_t)length, .hash = hash};
    r->text_size += length;
    place(r->name_places, r->name_places_size, hash, (uint32_t)r->name_count + 1);
    return (int64_t)r->name_count++;
}

static void skip_space(scan* s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) s->p++;
}

static int take(scan* s, char c) {
    skip_space(s);
    if (s->p == s->end || *s->p != c) return 0;
    s->p++;
    return 1;
}

static int take_word(scan* s, const char* word, size_t length) {
    if ((size_t)(s->end - s->p) < length || memcmp(s->p, word, length)) return 0;
    s->p += length;
    return 1;
}

/* Text without escapes; where it lies is answered in `text` and `length`. */
static int take_text(scan* s, const char** text, size_t* length) {
    if (!take(s, '"')) return 0;
    *text = s->p;
    while (s->p < s->end && *s->p != '"') {
        if (*s->p == '\\' || (unsigned char)*s->p < 0x20) return 0;
        s->p++;
    }
    if (s->p == s->end) return 0;
    *length = (size_t)(s->p++ - *text);
    return 1;
}

static int is_digit(const scan* s) { return s->p < s->end && *s->p >= '0' && *s->p <= '9'; }

/* digits * 10^power, correctly rounded; 0 where that is not certain. */
#if LDBL_MANT_DIG == 64
static int decimal(uint64_t digits, int power, double* value) {
    static const long double TENS[] = {
        1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
        1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L, 1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L,
    };
    /* The digits and these powers are exact in 64 bits, so one operation gives the nearest number of 64 bits. Rounded again, to the 53 of a double,
     * it is the nearest double unless it lies just between two; after a second operation it may be two units off. */
    long double found = (long double)digits;
    uint64_t bits;
    int rest = power < 0 ? -power : power, slack = 0;
    if (rest > 54) return 0;
    while (rest) {
        int part = rest < 27 ? rest : 27;
        found = power < 0 ? found / TENS[part] : found * TENS[part];
        rest -= part;
        if (rest) slack = 4;
    }
    memcpy(&bits, &found, 8);
    bits &= 0x7ff;
    if (bits >= 0x400u - slack && bits <= 0x400u + slack) return 0;
    *value = (double)found;
    return 1;
}
#else
static int decimal(uint64_t digits, int power, double* value) {
    static const double TENS[] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    /* Digits and powers are exact, so the one operation rounds once. */
    if (digits >> 53 || power < -22 || power > 22) return 0;
    *value = power < 0 ? (double)digits / TENS[-power] : (double)digits * TENS[power];
    return 1;
}
#endif

static void set_float(number* found, double value) {
    found->kind = POINTS_FLOAT;
    memcpy(&found->bits, &value, 8);
}

static int take_number(scan* s, number* found) {
    int negative = 0, power = 0, count = 0, whole = 1;
    uint64_t digits = 0;
    double value = 0;
    const char* begin;
    if (take_word(s, "NaN", 3)) {
        found->kind = POINTS_FLOAT;
        found->bits = 0x7ff8000000000000u; /* what Python's NaN is */
        return 1;
    }
    if (s->p < s->end && *s->p == '-') {
        negative = 1;
        s->p++;
    }
    if (take_word(s, "Infinity", 8)) {
        set_float(found, negative ? -INFINITY : INFINITY);
        return 1;
    }
    begin = s->p;
    for (; is_digit(s); s->p++) {
        count += count || *s->p != '0';
        if (count > MAX_DIGITS) return 0;
        digits = 10 * digits + (uint64_t)(*s->p - '0');
    }
    if (s->p == begin || (*begin == '0' && s->p - begin > 1)) return 0;
    if (s->p < s->end && *s->p == '.') {
        whole = 0;
        begin = ++s->p;
        for (; is_digit(s); s->p++) {
            count += count || *s->p != '0';
            if (count > MAX_DIGITS) return 0;
            digits = 10 * digits + (uint64_t)(*s->p - '0');
            power--;
        }
        if (s->p == begin) return 0;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        int down = 0, exponent = 0;
        whole = 0;
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-')) down = *s->p++ == '-';
        begin = s->p;
        for (; is_digit(s); s->p++)
            if (exponent < 10000) exponent = 10 * exponent + (*s->p - '0');
        if (s->p == begin) return 0;
        power += down ? -exponent : exponent;
    }
    if (whole) {
        if (digits > INT64_MAX) return 0;
        found->kind = POINTS_INT;
        found->bits = negative ? 0 - digits : digits;
        return 1;
    }
    if (digits && !decimal(digits, power, &value)) return 0;
    set_float(found, negative ? -value : value);
    return 1;
}

/* The time of a line: what it says in seconds, when it is one. */
static void take_time(scan* s, const number* found) {
    double seconds;
    if (found->kind == POINTS_INT) seconds = (double)(int64_t)found->bits;
    else memcpy(&seconds, &found->bits, 8);
    if (seconds >= 0 && seconds < 1e10) s->time = llrint(seconds * 1e6);
}

static int is_name(const char* text, size_t length, const char* name, size_t name_length) {
    return length == name_length && !memcmp(text, name, length);
}

static int take_object(scan* s, size_t prefix, int depth);

static int take_member(scan* s, size_t prefix, int depth) {
    lines_reader* r = s->reader;
    const char* text;
    size_t length, whole;
    number found;
    int64_t at;
    int is_step;
    if (!take_text(s, &text, &length) || !take(s, ':')) return LINES_OTHER;
    whole = prefix + length;
    if ((depth && is_name(text, length, "_type", 5)) || whole + 1 > POINTS_MAX_NAME) return LINES_OTHER;
    memcpy(s->path + prefix, text, length);
    at = name_of(r, s->path, whole);
    if (at < 0) return LINES_NO_MEMORY;
    if (r->names[at].seen == r->line) return LINES_OTHER;
    r->names[at].seen = r->line;
    r->names[at].kind = POINTS_OBJECT; /* for as long as it is no value; no frame has it */
    is_step = !depth && is_name(text, length, r->step_name, r->step_length);
    skip_space(s);
    if (!is_step && s->p < s->end && *s->p == '{') {
        s->path[whole] = '.';
        return depth < MAX_NESTING ? take_object(s, whole + 1, depth + 1) : LINES_OTHER;
    }
    if (!whole || !take_number(s, &found)) return LINES_OTHER;
    if (is_step) {
        s->step = (int64_t)found.bits;
        return found.kind == POINTS_INT ? LINES_PLAIN : LINES_OTHER;
    }
    if (!depth && is_name(text, length, r->time_name, r->time_length)) take_time(s, &found);
    if (r->row_width >= POINTS_MAX_KEYS) return LINES_OTHER;
    if (!grow((void**)&r->row, r->row_width, &r->row_room, sizeof *r->row)) return LINES_NO_MEMORY;
    r->names[at].kind = found.kind;
    r->names[at].bits = found.bits;
    r->row[r->row_width++] = (uint32_t)at;
    return LINES_PLAIN;
}

static int take_object(scan* s, size_t prefix, int depth) {
    int outcome;
    if (!take(s, '{')) return LINES_OTHER;
    /* An object within that has nothing is a value of its own. */
    if (take(s, '}')) return depth ? LINES_OTHER : LINES_PLAIN;
    do {
        outcome = take_member(s, prefix, depth);
        if (outcome != LINES_PLAIN) return outcome;
    } while (take(s, ','));
    return take(s, '}') ? LINES_PLAIN : LINES_OTHER;
}

static int is_frame_of(const lines_reader* r, const lines_frame* frame, uint64_t hash) {
    uint32_t i;
    if (frame->hash != hash || frame->width != r->row_width) return 0;
    for (i = 0; i < frame->width; i++) {
        const lines_name* name = &r->names[frame->names[i]];
        if (name->seen != r->line || name->kind != frame->kinds[i]) return 0;
    }
    return 1;
}

static lines_frame* new_frame(lines_reader* r, uint64_t hash) {
    lines_frame* frame;
    size_t i;
    if (!grow((void**)&r->frames, r->frame_count, &r->frame_room, sizeof *r->frames)) return NULL;
    if (!widen(&r->frame_places, &r->frame_places_size, r->frame_count,
               (uint8_t*)r->frames + offsetof(lines_frame, hash), sizeof *r->frames)) return NULL;
    frame = &r->frames[r->frame_count];
    *frame = (lines_frame){.hash = hash, .width = (uint32_t)r->row_width};
    frame->names = malloc(r->row_width * sizeof *frame->names);
    frame->kinds = malloc(r->row_width);
    if (!frame->names || !frame->kinds) {
        free(frame->names);
        free(frame->kinds);
        return NULL;
    }
    memcpy(frame->names, r->row, r->row_width * sizeof *frame->names);
    for (i = 0; i < r->row_width; i++) frame->kinds[i] = r->names[r->row[i]].kind;
    place(r->frame_places, r->frame_places_size, hash, (uint32_t)++r->frame_count);
    return frame;
}

/* The frame of the names and kinds that were read, in whatever order. */
static lines_frame* frame_of_row(lines_reader* r) {
    uint64_t hash = 0;
    size_t i, at;
    for (i = 0; i < r->row_width; i++) hash += mixed(r->names[r->row[i]].hash + (r->names[r->row[i]].kind == POINTS_INT));
    hash = mixed(hash);
    if (r->frame_places) {
        for (at = hash & (r->frame_places_size - 1); r->frame_places[at]; at = (at + 1) & (r->frame_places_size - 1)) {
            lines_frame* frame = &r->frames[r->frame_places[at] - 1];
            if (is_frame_of(r, frame, hash)) return frame;
        }
    }
    return new_frame(r, hash);
}

static int reserve(lines_frame* frame) {
    size_t room = frame->room ? 2 * frame->room : 4;
    void* grown;
    if (frame->rows < frame->room) return 1;
    if (!(grown = realloc(frame->cells, room * frame->width * 8))) return 0;
    frame->cells = grown;
    if (!(grown = realloc(frame->steps, room * 8))) return 0;
    frame->steps = grown;
    if (!(grown = realloc(frame->times, room * 8))) return 0;
    frame->times = grown;
    frame->room = room;
    return 1;
}

static int keep_row(lines_reader* r, const scan* s) {
    lines_frame* frame = frame_of_row(r);
    uint64_t* cell;
    uint32_t i;
    if (!frame || !reserve(frame)) return LINES_NO_MEMORY;
    cell = frame->cells + frame->rows * frame->width;
    for (i = 0; i < frame->width; i++) cell[i] = r->names[frame->names[i]].bits;
    frame->steps[frame->rows] = s->step;
    frame->times[frame->rows++] = s->time;
    return LINES_PLAIN;
}

int lines_read(lines_reader* reader, const char* text, size_t length, int64_t step, int64_t time) {
    scan s = {.reader = reader, .p = text, .end = text + length, .step = step, .time = time};
    int outcome;
    reader->row_width = 0;
    reader->line++;
    outcome = take_object(&s, 0, 0);
    if (outcome != LINES_PLAIN) return outcome;
    skip_space(&s);
    if (s.p != s.end) return LINES_OTHER;
    return reader->row_width ? keep_row(reader, &s) : LINES_PLAIN;
}

void lines_free(lines_reader* reader) {
    size_t i;
    for (i = 0; i < reader->frame_count; i++) {
        free(reader->frames[i].names);
        free(reader->frames[i].kinds);
        free(reader->frames[i].cells);
        free(reader->frames[i].steps);
        free(reader->frames[i].times);
    }
    free(reader->names);
    free(reader->frames);
    free(reader->texts);
    free(reader->name_places);
    free(reader->frame_places);
    free(reader->row);
}
