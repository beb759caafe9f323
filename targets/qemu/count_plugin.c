/* Counts the instructions that a QEMU guest retires between two functions, for QEMU 7.2 (plugin API 1).
 *
 * Arguments: start=ADDRESS stop=ADDRESS out=PATH. Writes one decimal line per span to PATH, and at the end a line
 * "@ADDRESS COUNT" for every block that ran in a span: where it begins, and how many instructions of it were counted.
 * A translated block runs from its first instruction to its last, so one addition per block is exact;
 * both marker functions are entered by a jump and so begin a block of their own, which is not counted.
 * The declarations below are the part of QEMU's plugin interface in use: no header is installed with it.
 * SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum { INLINE_ADD_U64 = 0 };
enum { CB_NO_REGS = 0 };

void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);

int qemu_plugin_version = 1;
int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

struct block {
    struct block *next;
    uint64_t address, retired, retired_at_start, counted;
};

static uint64_t start_address, stop_address;
static struct block *blocks;
static int counting;
static FILE *out;

static void on_start(unsigned cpu, void *unused) {
    struct block *b;
    (void)cpu, (void)unused;
    for (b = blocks; b != NULL; b = b->next) {
        b->retired_at_start = b->retired;
    }
    counting = 1;
}

static void on_stop(unsigned cpu, void *unused) {
    struct block *b;
    uint64_t sum = 0;
    (void)cpu, (void)unused;
    if (counting) {
        for (b = blocks; b != NULL; b = b->next) {
            const uint64_t more = b->retired - b->retired_at_start;
            b->counted += more;
            sum += more;
        }
        fprintf(out, "%" PRIu64 "\n", sum);
        fflush(out);
    }
    counting = 0;
}

static void on_exit(plugin_id id, void *unused) {
    const struct block *b;
    (void)id, (void)unused;
    for (b = blocks; b != NULL; b = b->next) {
        if (b->counted > 0) {
            fprintf(out, "@%" PRIu64 " %" PRIu64 "\n", b->address, b->counted);
        }
    }
    fflush(out);
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *tb) {
    const uint64_t address = qemu_plugin_tb_vaddr(tb);
    (void)id;
    if (address == start_address) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_start, CB_NO_REGS, NULL);
    } else if (address == stop_address) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_stop, CB_NO_REGS, NULL);
    } else {
        struct block *b = calloc(1, sizeof *b);
        if (b == NULL) {
            abort();
        }
        b->address = address;
        b->next = blocks;
        blocks = b;
        qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &b->retired, qemu_plugin_tb_n_insns(tb));
    }
}

static const char *value_of(const char *name, int argc, char **argv) {
    const size_t n = strlen(name);
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=') {
            return argv[i] + n + 1;
        }
    }
    fprintf(stderr, "count_plugin: argument %s is missing\n", name);
    exit(1);
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    start_address = strtoull(value_of("start", argc, argv), NULL, 0);
    stop_address = strtoull(value_of("stop", argc, argv), NULL, 0);
    out = fopen(value_of("out", argc, argv), "w");
    if (out == NULL) {
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_exit, NULL);
    return 0;
}
