/* Rows out of lines of JSON: an object of numbers a line, gathered by the keys and kinds that it has. */
#ifndef RUNSTONE_POINTS_LINES_H
#define RUNSTONE_POINTS_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "points_format.h"

enum lines_outcome { LINES_PLAIN = 0, LINES_OTHER, LINES_NO_MEMORY };

typedef struct {
    size_t at; /* its text in lines_reader.texts */
    uint32_t length;
    uint64_t hash;
    /* What the line that is read has of it, if `seen` is that line. */
    uint64_t seen, bits;
    uint8_t kind;
} lines_name;

/* Rows of one set of names and kinds: cells of 8 bytes, row after row. */
typedef struct {
    uint64_t hash;
    uint32_t width;
    size_t rows, room;
    uint32_t* names;
    uint8_t* kinds;
    uint64_t* cells;
    int64_t *steps, *times;
} lines_frame;

typedef struct {
    lines_name* names;
    size_t name_count, name_room;
    lines_frame* frames;
    size_t frame_count, frame_room;
    uint8_t* texts;
    size_t text_size, text_room;
    uint32_t *name_places, *frame_places; /* hash tables of numbers from 1; their sizes are powers of two */
    size_t name_places_size, frame_places_size;
    uint32_t* row; /* names of the line that is read */
    size_t row_width, row_room;
    uint64_t line;
    uint64_t seed; /* what the hash tables are keyed with, so that nobody can write lines whose names all meet in one place */
    /* What the step and the time in seconds are called, at the top of an object. */
    const char *step_name, *time_name;
    size_t step_length, time_length;
} lines_reader;

/* Reads one line. Plain is an object of floats, ints of 64 bits, NaN, Infinity and -Infinity, and of such objects without `_type`, whose keys
 * are joined with dots; it has no key twice. `step` and `time` are what a line has that does not say. The step is no value of its own, the time
 * is. LINES_OTHER: the line is not plain, or no JSON, and nothing was taken of it. */
int lines_read(lines_reader* reader, const char* text, size_t length, int64_t step, int64_t time);
/* Frees what a reader holds; it begins as zeros. */
void lines_free(lines_reader* reader);

#endif
