/* gtool: the test payload of the guest. It makes a loss visible: of writes, of memory, of time.
 *
 *   gtool counter FILE PERIOD_MS [PORT]
 *       Counts. Every number n fills its own 4 KiB slot of a ring in FILE, then the header behind the ring names it,
 *       then it is synced, and only then told: "C <n> <monotonic ms> <longest gap ms>" on PORT, or standard output.
 *       So a number that was told and is not on the disk is a lost write, and a gap is time the guest did not run.
 *   gtool verify FILE
 *       The ring must hold the last numbers whole and without a hole. Prints the last one; status 1 when it does not.
 *   gtool dirty MIB MIB_PER_SEC
 *       Touches every page of MIB mebibytes again and again, at about that rate: work for a live migration.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 256, SLOT_BYTES = 4096, WORDS = SLOT_BYTES / 8, PAGE_BYTES = 4096 };
static const off_t HEADER = (off_t)SLOTS * SLOT_BYTES;

_Noreturn static void die(const char *what) {
    fprintf(stderr, "gtool: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void sleep_us(uint64_t us) {
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

static off_t slot_at(uint64_t n) { return (off_t)(n % SLOTS) * SLOT_BYTES; }

static uint64_t header(int fd) {
    uint64_t n = 0;
    if (pread(fd, &n, sizeof n, HEADER) < 0) die("read the header");
    return n;
}

_Noreturn static void counter(const char *file, uint64_t period_ms, const char *port) {
    uint64_t slot[WORDS], gap_ms = 0, last_ms = now_ms();
    /* A port that nobody reads must not stop the count: its lines are dropped. */
    int out = port ? open(port, O_WRONLY | O_NONBLOCK) : STDOUT_FILENO;
    int fd = open(file, O_RDWR | O_CREAT, 0644);
    if (fd < 0 || out < 0) die(fd < 0 ? file : port);
    for (uint64_t n = header(fd) + 1;; n++) {
        for (int i = 0; i < WORDS; i++) slot[i] = n;
        if (pwrite(fd, slot, sizeof slot, slot_at(n)) != (ssize_t)sizeof slot) die("write a slot");
        if (pwrite(fd, &n, sizeof n, HEADER) != (ssize_t)sizeof n) die("write the header");
        if (fdatasync(fd)) die("sync");
        uint64_t now = now_ms();
        if (now - last_ms > gap_ms) gap_ms = now - last_ms;
        last_ms = now;
        char line[80];
        int len = snprintf(line, sizeof line, "C %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", n, now, gap_ms);
        if (write(out, line, (size_t)len) < 0 && errno != EAGAIN && !port) die("tell the number");
        sleep_us(period_ms * 1000);
    }
}

static int verify(const char *file) {
    uint64_t slot[WORDS], bad = 0;
    int fd = open(file, O_RDONLY);
    if (fd < 0) die(file);
    uint64_t last = header(fd);
    /* The oldest slot may hold the number after the last: it was being written when the guest stopped. */
    uint64_t first = last >= SLOTS ? last - SLOTS + 2 : 1;
    for (uint64_t n = first; n <= last; n++) {
        int whole = pread(fd, slot, sizeof slot, slot_at(n)) == (ssize_t)sizeof slot;
        for (int i = 0; whole && i < WORDS; i++) whole = slot[i] == n;
        bad += !whole;
    }
    printf("VERIFY last=%" PRIu64 " bad=%" PRIu64 " %s\n", last, bad, bad ? "CORRUPT" : "OK");
    return bad != 0;
}

static int dirty(size_t mib, uint64_t mib_per_sec) {
    if (!mib || !mib_per_sec) return fprintf(stderr, "gtool: dirty needs numbers above zero\n"), 2;
    char *memory = malloc(mib << 20);
    if (!memory) die("memory");
    for (uint64_t round = 1;; round++) {
        for (size_t m = 0; m < mib; m++) {
            for (size_t at = 0; at < 1 << 20; at += PAGE_BYTES)
                *(volatile uint64_t *)(memory + (m << 20) + at) = round;
            sleep_us(1000000 / mib_per_sec);
        }
    }
}

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "";
    if (!strcmp(verb, "counter") && (argc == 4 || argc == 5)) counter(argv[2], strtoull(argv[3], 0, 10), argv[4]);
    if (!strcmp(verb, "verify") && argc == 3) return verify(argv[2]);
    if (!strcmp(verb, "dirty") && argc == 4) return dirty(strtoull(argv[2], 0, 10), strtoull(argv[3], 0, 10));
    fputs("usage: gtool counter FILE PERIOD_MS [PORT] | verify FILE | dirty MIB MIB_PER_SEC\n", stderr);
    return 2;
}
