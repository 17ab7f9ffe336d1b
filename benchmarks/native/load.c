/* The load generator: one thread, epoll, quick enough not to be what is measured.
 *
 * Usage: load MODE [options]; it prints one JSON object.
 *   echo       every connection keeps IN_FLIGHT messages in flight against an application that echoes
 *   broadcast  one connection sends; each must get every message; the next one follows when all have
 *   connect    open, upgrade, drop, again: handshakes
 *   idle       open the connections, hold them, close them; memory is measured before, with and after
 *   http       keep-alive GET requests, IN_FLIGHT at a time, that are answered with "Hello, world!"
 *   upload     POST requests of SIZE octets, answered with the number of octets received
 *   download   GET requests for /SIZE, answered with SIZE octets of the pattern
 *   fanout     as broadcast, over one server or several: the messages are numbered, each delivery has its latency,
 *              and one that does not come within LOST_AFTER seconds is counted as lost. With -D, two servers
 *              have a room of CONNECTIONS each, and messages in turn, so that whatever else the machine does
 *              meets both; some of the second room read nothing. Latencies are told of each, and their ratio
 *   push       every connection acknowledges, and gets IN_FLIGHT messages whose first NUMBER_DIGITS octets
 *              count on; it acknowledges again when it has them
 *   handshake  open, TLS handshake, close_notify and FIN, again (needs -T)
 *   resume     as handshake, but by a ticket of a connection before (needs -T)
 * Options: -p PORT (repeated, the connections take turns with the ports; the first one publishes)  -c CONNECTIONS  -d IN_FLIGHT  -s SIZE  -t SECONDS  -w WARM_UP_SECONDS
 *          -b (binary messages)  -z (permessage-deflate)  -P PID (of the server, to measure it; repeated, all
 *          together) -D NUMBER (fanout: so many of the second room read nothing once they are open)
 *          -T (over TLS, in a build WITH_TLS)
 *
 * Rules of this file:
 * - Every answer is checked, octet by octet: the handshake's accept key, the opcode, the payload of each
 *   message (inflated, when it came compressed), the status and the body of each response. The first thing
 *   that is wrong, a close that nobody asked for, or STALL seconds without an octet end the run: `error`
 *   says what it was, and the exit code is 1.
 * - CPU time is that of the server's process and its descendants, from /proc, between two moments. Both are
 *   moments at which a message was complete, so that a few large ones are counted right.
 * - Memory is PSS, the share of a process in its pages, so that what processes share counts once.
 * - Client addresses are 127.0.0.2 and up, PER_ADDRESS connections each, so that ports do not run out.
 * - What is sent is made once; nothing is allocated while messages flow.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef WITH_TLS
#include "tls.h"
#endif

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* Seconds until a delivery is lost, and after how many publications that reach nobody the run ends. */
enum { LOST_AFTER = 1, UNHEARD = 5 };

/* A server is left alone for REST_MS after the first clients of all ports have come, and after all have: some
 * lose those that subscribe together with their first, and some subscribe after they have accepted. */
enum { REST_MS = 300, SERVERS_MAX = 8, ROOMS_MAX = 2, WINDOW = 100, RATIOS_MAX = 10000 };

/* What a client that does not read takes in is little, or a run would be over before its server noticed: the
 * receive buffer, and the segment size that the server's send buffer goes by. The warm-up goes on, for a time,
 * until it is so far behind that the server itself holds some of it. */
enum { DEAF_BUFFER = 4096, DEAF_SEGMENT = 536, DEAF_BEHIND = 128 * 1024, DEAF_SECONDS = 30 };

enum { STALL = 20, SETTLE = 2, PER_ADDRESS = 20000, OPENING_AT_ONCE = 128 };
enum { IN_FLIGHT_MAX = 64, HEAD_MAX = 8192, READ_SIZE = 1 << 18, EVENTS = 512, NUMBER_DIGITS = 10 };
enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

enum mode { ECHO, BROADCAST, FANOUT, CONNECT, IDLE, PUSH, HTTP, UPLOAD, DOWNLOAD, HANDSHAKE, RESUME, MODES };
static const char *const MODE_NAMES[MODES] = {"echo", "broadcast", "fanout", "connect",  "idle",      "push",
                                              "http", "upload",    "download", "handshake", "resume"};

enum state { CONNECTING, SHAKING, UPGRADING, OPEN, ENDING };

struct connection {
    int fd, index;
    enum state state;
    uint32_t events; /* what epoll waits for */
#ifdef WITH_TLS
    struct tls *tls;
    void *session; /* to be resumed by the next connection of this place */
#endif

    /* Out: messages still to write, `written` octets of the first; a pong goes between two. */
    int to_write, in_flight;
    size_t written;
    bool blocked; /* a message's write has to be repeated as it was, which TLS asks for */
    uint8_t pong[6 + 125];
    int pong_length;
    uint64_t sent_at[IN_FLIGHT_MAX];
    unsigned sent, answered;

    /* In: a frame's header or a response's head being gathered, then what it announced. */
    uint8_t header[10];
    int header_length;
    bool in_payload;
    uint64_t left; /* of the frame's payload, or of the response's body */
    bool in_message, compressed;
    size_t received; /* of the message, the packed message, the control frame or the body */
    uint8_t *packed; /* a compressed message, or NULL */
    uint8_t control[125];
    int control_length;
    char *head;
    int head_length;
    uint64_t number; /* of the next pushed or published message; 0 before the first */
};

static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ==", ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
static const char PATTERN[] = "{\"user\": 4711, \"text\": \"lorem ipsum dolor sit amet\"}, ";

static struct {
    enum mode mode;
    int ports[SERVERS_MAX], servers[SERVERS_MAX]; /* as many as port_count and server_count */
    int port_count, server_count, connections, in_flight, deaf, rooms;
    size_t size;
    double seconds, warm_up;
    bool binary, deflate, tls;
} options = {.ports = {8000}, .connections = 1, .in_flight = 1, .rooms = 1, .size = 32, .seconds = 3, .warm_up = 1};

static int epoll;
static struct connection *connections;
static uint8_t *payload, *outgoing; /* a message's payload; a message or request as it goes out */
static size_t outgoing_size, outgoing_body; /* octets, and where among them the payload is */
static const uint8_t *expected; /* what comes back */
static size_t expected_size, packed_max;
static char upgrade[512];
/* Fanout: the messages of each room, the first one that counts, deliveries that were lost and those of the
 * last message; whose turn it is. */
static struct room {
    uint64_t published, counted_from, lost;
    int got;
} rooms[ROOMS_MAX], *turn = rooms;
static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};
static uint64_t messages, octets_moved, opened, full_handshakes;
static bool stopping;
static char error[256];

/* Time, failure, latencies. */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Keeps the first failure. No quote or backslash may be in it: it goes into the JSON as it is. */
static void fail(const char *format, ...)
{
    va_list arguments;
    if (error[0] || stopping)
        return;
    va_start(arguments, format);
    vsnprintf(error, sizeof error, format, arguments);
    va_end(arguments);
    for (char *c = error; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
            *c = '?';
}

/* A histogram with 7 significant bits: below 1 % off at any size. */
enum { SUB = 128, BUCKETS = 40 * SUB };
static struct histogram {
    uint64_t counts[BUCKETS], recorded;
} histograms[ROOMS_MAX], windows[ROOMS_MAX]; /* of all that is measured, and of the window under way */

static void record_in(struct histogram *h, uint64_t us)
{
    unsigned shift = 0;
    while (us >> shift >= 2 * SUB)
        shift++;
    unsigned bucket = shift * SUB + (unsigned)(us >> shift);
    h->counts[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    h->recorded++;
}

static void record(uint64_t us)
{
    record_in(&histograms[0], us);
}

static double percentile(const struct histogram *h, double share)
{
    uint64_t target = (uint64_t)(share * (double)h->recorded), seen = 0;
    for (unsigned i = 0; h->recorded && i < BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > target) {
            unsigned shift = i < 2 * SUB ? 0 : i / SUB - 1;
            return (double)((uint64_t)(i - shift * SUB) << shift);
        }
    }
    return 0;
}

/* The 99th percentiles of two rooms, as a ratio for each window of WINDOW messages to each, and the median of
 * those: what else the machine does meets now the one and now the other, and much of it only some windows. */
static double ratios[RATIOS_MAX];
static int ratio_count;

static void end_window(void)
{
    double without = percentile(&windows[0], .99);
    if (without && ratio_count < RATIOS_MAX)
        ratios[ratio_count++] = percentile(&windows[1], .99) / without;
    memset(windows, 0, sizeof windows);
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double median_ratio(void)
{
    if (!ratio_count)
        end_window();
    qsort(ratios, (size_t)ratio_count, sizeof *ratios, compare);
    return ratio_count ? (ratios[(ratio_count - 1) / 2] + ratios[ratio_count / 2]) / 2 : 0;
}

/* The server's process tree. */

static double tree_cpu_seconds(int pid, long *pss_kb)
{
    char path[512], text[4096];
    double total = 0;
    long user, system, kb;
    FILE *file;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if ((file = fopen(path, "r"))) {
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
        char *name_end = strrchr(text, ')');
        if (name_end && sscanf(name_end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld",
                               &user, &system) == 2)
            total += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    }
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    if (pss_kb && (file = fopen(path, "r"))) {
        while (fgets(text, sizeof text, file))
            if (sscanf(text, "Pss: %ld", &kb) == 1)
                *pss_kb += kb;
        fclose(file);
    }
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads)
        return total;
    for (struct dirent *thread; (thread = readdir(threads));) {
        int child;
        snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, thread->d_name);
        if (thread->d_name[0] == '.' || !(file = fopen(path, "r")))
            continue;
        while (fscanf(file, "%d", &child) == 1)
            total += tree_cpu_seconds(child, pss_kb);
        fclose(file);
    }
    closedir(threads);
    return total;
}

static long tree_memory_kb(void)
{
    long kb = 0;
    for (int i = 0; i < options.server_count; i++)
        tree_cpu_seconds(options.servers[i], &kb);
    return kb;
}

static double own_cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Inflate (RFC 1951), for one message at a time.
 *
 * All messages of a connection are the same and each is checked, so what stands before a message in the
 * window is the payload, again and again: no window is kept, and the output is compared as it is made. A
 * distance may reach back into that past with context takeover, and never does without.
 */

struct bits {
    const uint8_t *data;
    size_t size, position;
    uint32_t hold;
    int count;
    bool bad;
};

struct code {
    uint16_t counts[16], symbols[288];
};

static unsigned take(struct bits *in, int need)
{
    while (in->count < need) {
        if (in->position == in->size) {
            in->bad = true;
            return 0;
        }
        in->hold |= (uint32_t)in->data[in->position++] << in->count;
        in->count += 8;
    }
    unsigned value = in->hold & ((1u << need) - 1);
    in->hold >>= need;
    in->count -= need;
    return value;
}

static void make_code(struct code *code, const uint8_t *lengths, int n)
{
    uint16_t offsets[16] = {0};
    memset(code->counts, 0, sizeof code->counts);
    for (int i = 0; i < n; i++)
        code->counts[lengths[i]]++;
    code->counts[0] = 0;
    for (int i = 1; i < 15; i++)
        offsets[i + 1] = (uint16_t)(offsets[i] + code->counts[i]);
    for (int i = 0; i < n; i++)
        if (lengths[i])
            code->symbols[offsets[lengths[i]]++] = (uint16_t)i;
}

static int decode(struct bits *in, const struct code *code)
{
    int value = 0, first = 0, index = 0;
    for (int length = 1; length < 16 && !in->bad; length++) {
        value |= (int)take(in, 1);
        int count = code->counts[length];
        if (value - count < first)
            return code->symbols[index + value - first];
        index += count;
        first = (first + count) << 1;
        value <<= 1;
    }
    in->bad = true;
    return 0;
}

/* The octet at `position` of an endless repetition of the payload; negative ones lie in the past. */
static uint8_t repeated(int64_t position)
{
    int64_t size = (int64_t)options.size, rest = position % size;
    return payload[rest < 0 ? rest + size : rest];
}

static bool put(size_t *made, uint8_t octet)
{
    return *made < options.size && payload[*made] == octet && ++*made;
}

static bool inflate_block(struct bits *in, const struct code *literals, const struct code *distances,
                          size_t *made)
{
    static const uint16_t LENGTHS[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                       31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t LENGTH_BITS[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                          2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t DISTANCES[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                         33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                         1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    for (;;) {
        int symbol = decode(in, literals);
        if (in->bad || symbol > 285)
            return false;
        if (symbol == 256)
            return true;
        if (symbol < 256) {
            if (!put(made, (uint8_t)symbol))
                return false;
            continue;
        }
        unsigned length = LENGTHS[symbol - 257] + take(in, LENGTH_BITS[symbol - 257]);
        int code = decode(in, distances);
        if (in->bad || code > 29)
            return false;
        int64_t distance = DISTANCES[code] + (int64_t)take(in, code < 4 ? 0 : code / 2 - 1);
        while (length--)
            if (!put(made, repeated((int64_t)*made - distance)))
                return false;
    }
}

static bool inflate_dynamic(struct bits *in, size_t *made)
{
    static const uint8_t ORDER[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[288 + 32] = {0};
    struct code code, distances;
    int literals = (int)take(in, 5) + 257, both = literals + (int)take(in, 5) + 1;
    int n = (int)take(in, 4) + 4;
    for (int i = 0; i < n; i++)
        lengths[ORDER[i]] = (uint8_t)take(in, 3);
    make_code(&code, lengths, 19);
    memset(lengths, 0, 19);
    for (int i = 0; i < both && !in->bad;) {
        int symbol = decode(in, &code), times = 1;
        uint8_t length = (uint8_t)symbol;
        if (symbol == 16) {
            length = i ? lengths[i - 1] : 0;
            times = 3 + (int)take(in, 2);
        } else if (symbol > 16) {
            length = 0;
            times = symbol == 17 ? 3 + (int)take(in, 3) : 11 + (int)take(in, 7);
        }
        if (i + times > both)
            return false;
        while (times--)
            lengths[i++] = length;
    }
    make_code(&code, lengths, literals);
    make_code(&distances, lengths + literals, both - literals);
    return !in->bad && inflate_block(in, &code, &distances, made);
}

/* Whether a compressed message (RFC 7692, 7.2.2: its last 00 00 ff ff is there again) is the payload. */
static bool inflates_to_payload(const uint8_t *data, size_t size)
{
    static struct code fixed_literals, fixed_distances;
    if (!fixed_literals.counts[8]) {
        uint8_t lengths[288];
        memset(lengths, 8, 144);
        memset(lengths + 144, 9, 112);
        memset(lengths + 256, 7, 24);
        memset(lengths + 280, 8, 8);
        make_code(&fixed_literals, lengths, 288);
        memset(lengths, 5, 30);
        make_code(&fixed_distances, lengths, 30);
    }
    struct bits in = {.data = data, .size = size};
    size_t made = 0;
    while (in.position < in.size && !in.bad) {
        bool final = take(&in, 1);
        unsigned type = take(&in, 2);
        if (type == 0) {
            in.hold = 0;
            in.count = 0;
            unsigned length = take(&in, 16), complement = take(&in, 16);
            if (in.bad || length != (complement ^ 0xffff))
                return false;
            while (length--)
                if (!put(&made, (uint8_t)take(&in, 8)))
                    return false;
        } else if (type == 1) {
            if (!inflate_block(&in, &fixed_literals, &fixed_distances, &made))
                return false;
        } else if (type == 3 || !inflate_dynamic(&in, &made)) {
            return false;
        }
        if (final)
            in.count = 0, in.hold = 0; /* the rest of the octet is padding */
    }
    return !in.bad && made == options.size;
}

/* The socket, with TLS over it or without. */

static ssize_t put_octets(struct connection *c, const void *data, size_t size)
{
#ifdef WITH_TLS
    if (c->tls)
        return tls_send(c->tls, data, size);
#endif
    return send(c->fd, data, size, MSG_NOSIGNAL);
}

static ssize_t get_octets(struct connection *c, void *data, size_t size)
{
#ifdef WITH_TLS
    if (c->tls)
        return tls_receive(c->tls, data, size);
#endif
    return recv(c->fd, data, size, 0);
}

static void close_connection(struct connection *c)
{
#ifdef WITH_TLS
    if (c->tls)
        tls_free(c->tls);
    c->tls = NULL;
#endif
    close(c->fd);
}

static bool each_is_new(void)
{
    return options.mode == CONNECT || options.mode == HANDSHAKE || options.mode == RESUME;
}

/* Out. */

static void await_events(struct connection *c, uint32_t events)
{
    if (c->events == events)
        return;
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
    c->events = events;
}

static void write_out(struct connection *c)
{
    for (;;) {
        bool is_pong = c->pong_length && !c->written && !c->blocked;
        const uint8_t *from = is_pong ? c->pong : outgoing + c->written;
        size_t size = is_pong ? (size_t)c->pong_length : outgoing_size - c->written;
        if (!is_pong && !c->to_write)
            break;
        ssize_t n = put_octets(c, from, size);
        c->blocked = n < 0 && errno == EAGAIN && !is_pong;
        if (n < 0 && errno == EAGAIN) {
            await_events(c, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n < 0 || (is_pong && n != c->pong_length)) {
            fail("cannot send: %s", strerror(errno));
            return;
        }
        if (is_pong) {
            c->pong_length = 0;
            continue;
        }
        octets_moved += (uint64_t)n;
        c->written += (size_t)n;
        if (c->written == outgoing_size) {
            c->written = 0;
            c->to_write--;
        }
    }
    await_events(c, EPOLLIN);
}

static void send_messages(struct connection *c, int n)
{
    uint64_t t = now_ns();
    for (int i = 0; i < n; i++)
        c->sent_at[c->sent++ % IN_FLIGHT_MAX] = t;
    c->in_flight += n;
    c->to_write += n;
    write_out(c);
}

/* In: what came is right, and complete. */

/* A pushed message counts on from the one before; the first of all begins a burst. */
static bool counts_on(struct connection *c)
{
    char digits[NUMBER_DIGITS + 1] = {0}, *end;
    memcpy(digits, c->head, NUMBER_DIGITS);
    uint64_t number = strtoull(digits, &end, 10), burst = (uint64_t)options.in_flight;
    if (*end || memcmp(c->head + NUMBER_DIGITS, expected + NUMBER_DIGITS, expected_size - NUMBER_DIGITS))
        fail("a pushed message that is not the one expected");
    else if (c->number ? number != c->number : number % burst)
        fail("pushed message %llu came where %llu was due", (unsigned long long)number,
             (unsigned long long)c->number);
    c->number = number + 1;
    return !error[0];
}

static struct room *room_of(const struct connection *c)
{
    return &rooms[c->index % options.rooms];
}

static bool is_deaf(const struct connection *c)
{
    return options.deaf && room_of(c) == &rooms[1] && c->index >= options.connections - 2 * options.deaf;
}

/* The connections of the room whose turn it is, but for those that do not read. */
static int listeners(void)
{
    return options.connections / options.rooms - (turn == &rooms[1] ? options.deaf : 0);
}

/* The next message of fanout, with its number, to the room whose turn it is. */
static void publish(void)
{
    char digits[NUMBER_DIGITS + 1];
    struct connection *publisher = &connections[turn - rooms];
    if (publisher->to_write) {
        fail("the server takes no message");
        return;
    }
    snprintf(digits, sizeof digits, "%0*llu", NUMBER_DIGITS, (unsigned long long)turn->published++);
    for (int i = 0; i < NUMBER_DIGITS; i++)
        outgoing[outgoing_body + (size_t)i] = (uint8_t)digits[i] ^ MASK[i & 3];
    turn->got = 0;
    send_messages(publisher, 1);
}

static void publish_in_turn(void)
{
    turn = &rooms[(turn - rooms + 1) % options.rooms];
    if (options.rooms > 1 && turn == rooms && (turn->published - turn->counted_from) % WINDOW == 0)
        end_window();
    publish();
}

/* A delivery of fanout: in order, once, and what was published. One that had been given up is not lost. */
static void take_delivery(struct connection *c)
{
    struct room *room = room_of(c);
    char digits[NUMBER_DIGITS + 1] = {0}, *end;
    memcpy(digits, c->head, NUMBER_DIGITS);
    uint64_t number = strtoull(digits, &end, 10);
    if (*end || memcmp(c->head + NUMBER_DIGITS, expected + NUMBER_DIGITS, expected_size - NUMBER_DIGITS))
        fail("a published message that is not the one expected");
    else if (number < c->number || number >= room->published)
        fail("published message %llu came where %llu was due", (unsigned long long)number,
             (unsigned long long)c->number);
    else if (room->published - number > IN_FLIGHT_MAX)
        fail("published message %llu came %llu messages late", (unsigned long long)number,
             (unsigned long long)(room->published - number));
    if (error[0])
        return;
    c->number = number + 1;
    messages++;
    uint64_t us = (now_ns() - connections[room - rooms].sent_at[number % IN_FLIGHT_MAX]) / 1000;
    record_in(&histograms[room - rooms], us);
    record_in(&windows[room - rooms], us);
    if (number + 1 < room->published || room != turn)
        room->lost -= number >= room->counted_from;
    else if (++room->got == listeners())
        publish_in_turn();
}

/* Goes on to the next message of fanout when deliveries of this one do not come. */
static void give_up_deliveries(void)
{
    static int unheard;
    uint64_t since = connections[turn - rooms].sent_at[(turn->published - 1) % IN_FLIGHT_MAX];
    if (now_ns() - since < LOST_AFTER * 1000000000ull)
        return;
    unheard = turn->got ? 0 : unheard + 1;
    if (unheard == UNHEARD) {
        fail("%d messages reached nobody within %d s each", UNHEARD, LOST_AFTER);
        return;
    }
    turn->lost += (uint64_t)(listeners() - turn->got);
    publish_in_turn();
}

/* Octets of published messages that a client that does not read has not been brought. */
static long behind(void)
{
    int arrived = 0;
    ioctl(connections[options.connections - 1].fd, FIONREAD, &arrived);
    return (long)(rooms[1].published * (options.size + (options.size < 126 ? 2 : 4))) - arrived;
}

static void complete_message(struct connection *c)
{
    messages++;
    if (options.mode == PUSH && c->number % (uint64_t)options.in_flight)
        return;
    if (options.mode == BROADCAST) {
        if (++turn->got < options.connections * options.in_flight)
            return;
        turn->got = 0;
        c = &connections[0];
    }
    if (!c->in_flight) {
        fail("an answer to nothing");
        return;
    }
    record((now_ns() - c->sent_at[c->answered++ % IN_FLIGHT_MAX]) / 1000);
    c->in_flight--;
    if (options.mode == BROADCAST || options.mode == PUSH)
        send_messages(c, 1);
}

static void complete_control(struct connection *c, int opcode)
{
    octets_moved -= 2 + (uint64_t)c->control_length; /* a server that pings may stall all the same */
    if (opcode == CLOSE) {
        unsigned code = c->control_length < 2 ? 1005 : (unsigned)(c->control[0] << 8 | c->control[1]);
        fail("the server closed with %u", code);
    } else if (opcode == PING) { /* a masking key of zeros: the payload goes as it came */
        c->pong[0] = 0x80 | PONG;
        c->pong[1] = (uint8_t)(0x80 | c->control_length);
        memset(c->pong + 2, 0, 4);
        memcpy(c->pong + 6, c->control, (size_t)c->control_length);
        c->pong_length = 6 + c->control_length;
        write_out(c);
    }
}

/* A frame's header is there: begin its payload. */
static bool begin_frame(struct connection *c)
{
    int first = c->header[0], opcode = first & 15, length = c->header[1] & 127;
    c->left = (uint64_t)length;
    if (length >= 126) {
        c->left = 0;
        for (int i = 2; i < c->header_length; i++)
            c->left = c->left << 8 | c->header[i];
    }
    if (c->header[1] & 0x80)
        fail("a masked frame from the server");
    else if (first & 0x30 || (first & 0x40 && (!options.deflate || opcode == CONTINUATION || opcode >= CLOSE)))
        fail("a reserved bit that was not negotiated");
    else if (opcode >= CLOSE) {
        c->control_length = 0;
        if (opcode > PONG || c->left > 125 || !(first & 0x80))
            fail("a bad control frame");
    } else if (opcode == CONTINUATION ? !c->in_message : c->in_message)
        fail("fragments out of order");
    else if (opcode != CONTINUATION) {
        if (opcode != (options.binary ? BINARY : TEXT))
            fail("a message of another type than sent");
        c->in_message = true;
        c->compressed = first & 0x40;
        c->received = 0;
    }
    c->in_payload = true;
    return !error[0];
}

static bool take_payload(struct connection *c, const uint8_t *data, size_t n)
{
    int opcode = c->header[0] & 15;
    if (opcode >= CLOSE) {
        memcpy(c->control + c->control_length, data, n);
        c->control_length += (int)n;
        return true;
    }
    size_t limit = c->compressed ? packed_max : expected_size;
    if (n > limit - c->received) {
        fail("a message longer than sent");
        return false;
    }
    if (c->compressed) {
        memcpy(c->packed + c->received, data, n);
    } else if (options.mode == PUSH || options.mode == FANOUT) {
        memcpy(c->head + c->received, data, n);
    } else if (memcmp(expected + c->received, data, n)) {
        fail("a message that differs from what was sent");
        return false;
    }
    c->received += n;
    return true;
}

static bool end_frame(struct connection *c, int *ready)
{
    int opcode = c->header[0] & 15;
    c->in_payload = false;
    c->header_length = 0;
    if (opcode >= CLOSE) {
        complete_control(c, opcode);
    } else if (c->header[0] & 0x80) {
        c->in_message = false;
        if (c->compressed) {
            memcpy(c->packed + c->received, "\0\0\xff\xff", 4);
            if (!inflates_to_payload(c->packed, c->received + 4))
                fail("a compressed message that differs from what was sent");
        } else if (c->received != expected_size) {
            fail("a message shorter than sent");
        }
        if (options.mode == FANOUT) {
            if (!error[0])
                take_delivery(c);
        } else if (!error[0] && (options.mode != PUSH || counts_on(c))) {
            complete_message(c);
            ++*ready;
        }
    }
    return !error[0];
}

static void take_frames(struct connection *c, const uint8_t *data, size_t n)
{
    int ready = 0;
    while (n) {
        if (!c->in_payload) {
            c->header[c->header_length++] = *data++;
            n--;
            int length = c->header_length > 1 ? c->header[1] & 127 : 0;
            if (c->header_length < 2 + (length == 126 ? 2 : length == 127 ? 8 : 0))
                continue;
            if (!begin_frame(c))
                return;
        }
        size_t part = n < c->left ? n : (size_t)c->left;
        if (part && !take_payload(c, data, part))
            return;
        data += part;
        n -= part;
        c->left -= part;
        if (!c->left && !end_frame(c, &ready))
            return;
    }
    if (ready && options.mode == ECHO)
        send_messages(c, ready);
}

/* Gathers a head in c->head; the octets taken, or 0 when it goes on behind them (or was too long). */
static size_t take_head(struct connection *c, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (c->head_length == HEAD_MAX - 1) {
            fail("a head of more than %d octets", HEAD_MAX);
            return 0;
        }
        c->head[c->head_length++] = data[i];
        if (data[i] == '\n' && c->head_length >= 4 &&
            !memcmp(c->head + c->head_length - 4, "\r\n\r\n", 4)) {
            c->head[c->head_length] = 0;
            return i + 1;
        }
    }
    return 0;
}

/* The value of a header field of the head, up to its line's end; or NULL. */
static const char *field(const struct connection *c, const char *name)
{
    char start[64];
    snprintf(start, sizeof start, "\n%s:", name);
    const char *found = strcasestr(c->head, start);
    if (!found)
        return NULL;
    found += strlen(start);
    return found + strspn(found, " \t");
}

static bool has_status(const struct connection *c, const char *status)
{
    if (c->head_length > 12 && !memcmp(c->head, "HTTP/1.1 ", 9) && !memcmp(c->head + 9, status, 3))
        return true;
    fail("the answer is not %s but %.40s", status, c->head);
    return false;
}

static void end_response(struct connection *c, int *ready)
{
    if (c->received != expected_size) {
        fail("a body of %zu octets instead of %zu", c->received, expected_size);
        return;
    }
    c->in_payload = false;
    c->head_length = 0;
    complete_message(c);
    ++*ready;
}

static void take_responses(struct connection *c, const char *data, size_t n)
{
    int ready = 0;
    while (n && !error[0]) {
        if (!c->in_payload) {
            size_t part = take_head(c, data, n);
            if (!part)
                return;
            data += part;
            n -= part;
            const char *length = field(c, "content-length");
            if (!has_status(c, "200"))
                return;
            if (!length) {
                fail("a response without Content-Length");
                return;
            }
            c->left = strtoull(length, NULL, 10);
            c->received = 0;
            c->in_payload = true;
        }
        size_t part = n < c->left ? n : (size_t)c->left;
        if (part > expected_size - c->received || memcmp(expected + c->received, data, part)) {
            fail("a body that is not the one expected");
            return;
        }
        c->received += part;
        c->left -= part;
        data += part;
        n -= part;
        if (!c->left)
            end_response(c, &ready);
    }
    if (ready && !error[0])
        send_messages(c, ready);
}

/* A connection from its opening on. */

static void open_connection(struct connection *c)
{
    int one = 1;
    struct linger reset = {1, 0};
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    uint8_t *packed = c->packed;
    char *head = c->head;
    int index = (int)(c - connections);
#ifdef WITH_TLS
    void *session = c->session;
#endif
    *c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
                             .index = index, .packed = packed, .head = head};
#ifdef WITH_TLS
    c->session = session;
#endif
    if (c->fd < 0) {
        fail("cannot open socket %d: %s", index, strerror(errno));
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (each_is_new())
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(index / PER_ADDRESS));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)options.ports[index % options.port_count]);
    if (is_deaf(c)) {
        int buffer = DEAF_BUFFER, segment = DEAF_SEGMENT;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    }
    c->sent_at[0] = now_ns();
    if (bind(c->fd, (void *)&from, sizeof from) ||
        (connect(c->fd, (void *)&to, sizeof to) && errno != EINPROGRESS)) {
        fail("cannot connect: %s", strerror(errno));
        return;
    }
    c->events = EPOLLIN | EPOLLOUT;
    struct epoll_event e = {.events = c->events, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
}

/* The stream is there: the upgrade, or the first requests. */
static void established(struct connection *c)
{
    if (options.mode >= HTTP) {
        c->state = OPEN;
        opened++;
        send_messages(c, options.in_flight);
        return;
    }
    c->state = UPGRADING;
    if (put_octets(c, upgrade, strlen(upgrade)) != (ssize_t)strlen(upgrade))
        fail("cannot send the handshake: %s", strerror(errno));
    await_events(c, EPOLLIN);
}

#ifdef WITH_TLS
/* The handshake is done, and nothing else was to be: close_notify and FIN, and then the server's end. */
static void end_handshake(struct connection *c)
{
    struct linger keep = {0, 0};
    tls_end(c->tls);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &keep, sizeof keep);
    shutdown(c->fd, SHUT_WR);
    c->state = ENDING;
}

static void shaken(struct connection *c)
{
    if (options.mode == HANDSHAKE || !c->session) {
        full_handshakes++;
        if (tls_resumed(c->tls))
            fail("a session was resumed that was not offered");
    } else if (!tls_resumed(c->tls) && ++full_handshakes > messages + 2 * (uint64_t)options.connections) {
        fail("tickets are refused: %llu full handshakes", (unsigned long long)full_handshakes);
    }
    if (options.mode == HANDSHAKE || (options.mode == RESUME && tls_resumed(c->tls))) {
        messages++;
        record((now_ns() - c->sent_at[0]) / 1000);
    }
    opened++;
    octets_moved++;
    if (options.mode == HANDSHAKE || tls_resumed(c->tls)) {
        end_handshake(c);
        return;
    }
    c->state = OPEN; /* until there is a ticket, which some servers send with the first response alone */
    if (tls_send(c->tls, outgoing, outgoing_size) != (ssize_t)outgoing_size)
        fail("cannot send a request: %s", strerror(errno));
}

/* What comes after the handshake: tickets, and the server's end, with which the next one begins. The newest
 * ticket is used, and an old one again if there came none. */
static void await_ticket_and_end(struct connection *c)
{
    char data[4096];
    ssize_t n;
    while ((n = tls_receive(c->tls, data, sizeof data)) > 0)
        if (options.mode == HANDSHAKE)
            fail("the server sent something that nobody asked for");
    bool waits = n < 0 && errno == EAGAIN;
    if (error[0])
        return;
    void *session = tls_take_session(c->tls);
    if (session) {
        if (c->session)
            tls_free_session(c->session);
        c->session = session;
        if (c->state == OPEN)
            end_handshake(c);
    }
    if (!waits) {
        if (c->state == OPEN) {
            fail("the server sent no ticket");
            return;
        }
        close_connection(c);
        open_connection(c);
    }
}

static void shake(struct connection *c)
{
    switch (tls_handshake(c->tls)) {
    case TLS_WANTS_READ: await_events(c, EPOLLIN); return;
    case TLS_WANTS_WRITE: await_events(c, EPOLLIN | EPOLLOUT); return;
    case TLS_FAILED: fail("the TLS handshake failed: %s", tls_error()); return;
    case TLS_DONE: break;
    }
    await_events(c, EPOLLIN);
    if (options.mode == HANDSHAKE || options.mode == RESUME) {
        shaken(c);
        if (!error[0])
            await_ticket_and_end(c);
    } else {
        established(c);
    }
}
#endif

static void connected(struct connection *c)
{
    int code = 0;
    socklen_t size = sizeof code;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code) {
        fail("cannot connect: %s", strerror(code));
        return;
    }
#ifdef WITH_TLS
    if (options.tls) {
        c->tls = tls_open(c->fd, options.mode == RESUME ? c->session : NULL);
        c->state = SHAKING;
        shake(c);
        return;
    }
#endif
    established(c);
}

static void upgraded(struct connection *c, const char *data, size_t n)
{
    size_t part = take_head(c, data, n);
    if (!part || !has_status(c, "101"))
        return;
    const char *accept = field(c, "sec-websocket-accept");
    const char *extensions = field(c, "sec-websocket-extensions");
    bool agreed = extensions && !strncasecmp(extensions, "permessage-deflate", 18);
    if (!accept || strncmp(accept, ACCEPT, strlen(ACCEPT)))
        fail("a wrong Sec-WebSocket-Accept");
    else if (extensions && !options.deflate)
        fail("an extension that was not asked for");
    else if (options.deflate && !agreed)
        fail("no permessage-deflate");
    if (error[0])
        return;
    c->head_length = 0;
    c->state = OPEN;
    opened++;
    if (is_deaf(c)) {
        await_events(c, 0);
    } else if (options.mode == CONNECT) {
        messages++;
        record((now_ns() - c->sent_at[0]) / 1000);
        close_connection(c);
        open_connection(c);
    } else if (n > part) {
        take_frames(c, (const uint8_t *)data + part, n - part);
    }
}

static void readable(struct connection *c)
{
    static char data[READ_SIZE];
    for (;;) {
        ssize_t n = get_octets(c, data, sizeof data);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            fail(n ? "cannot receive: %s" : "the server ended the connection", strerror(errno));
            return;
        }
        octets_moved += (uint64_t)n;
        if (c->state == UPGRADING) {
            upgraded(c, data, (size_t)n);
            if (options.mode == CONNECT || is_deaf(c))
                return; /* it may be a new connection by now, or is read no more */
        } else if (options.mode >= HTTP) {
            take_responses(c, data, (size_t)n);
        } else {
            take_frames(c, (const uint8_t *)data, (size_t)n);
        }
        if (error[0] || (n < (ssize_t)sizeof data && !options.tls)) /* TLS may hold some back */
            return;
    }
}

/* The run. */

static void make_outgoing(void)
{
    static char text[32];
    size_t size = options.size, length = size, at = 0;
    payload = malloc(size + 16);
    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)PATTERN[i % (sizeof PATTERN - 1)];
    expected = payload;
    expected_size = size;
    outgoing = malloc(size + 512);
    if (options.mode >= HTTP) {
        int n;
        if (options.mode == UPLOAD)
            n = sprintf((char *)outgoing, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", size);
        else if (options.mode == DOWNLOAD)
            n = sprintf((char *)outgoing, "GET /%zu HTTP/1.1\r\nHost: localhost\r\n\r\n", size);
        else
            n = sprintf((char *)outgoing, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        outgoing_size = (size_t)n;
        if (options.mode == UPLOAD) {
            memcpy(outgoing + n, payload, size);
            outgoing_size += size;
            sprintf(text, "%zu", size);
            expected = (const uint8_t *)text;
        } else if (options.mode == HTTP) {
            expected = (const uint8_t *)"Hello, world!";
        }
        if (options.mode != DOWNLOAD)
            expected_size = strlen((const char *)expected);
        return;
    }
    snprintf(upgrade, sizeof upgrade,
             "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n", KEY,
             options.deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    uint8_t *body = payload;
    if (options.deflate) { /* one stored block and the octet that a flush ends with */
        length = size + 6;
        packed_max = size + 1024;
        body = malloc(length);
        body[0] = 0;
        body[1] = (uint8_t)size;
        body[2] = (uint8_t)(size >> 8);
        body[3] = (uint8_t)~body[1];
        body[4] = (uint8_t)~body[2];
        memcpy(body + 5, payload, size);
        body[length - 1] = 0;
    }
    outgoing[at++] = (uint8_t)(0x80 | (options.deflate ? 0x40 : 0) | (options.binary ? BINARY : TEXT));
    int octets = length < 126 ? 0 : length < 65536 ? 2 : 8;
    outgoing[at++] = (uint8_t)(0x80 | (octets == 0 ? length : octets == 2 ? 126 : 127));
    while (octets)
        outgoing[at++] = (uint8_t)(length >> (8 * --octets));
    memcpy(outgoing + at, MASK, 4);
    at += 4;
    outgoing_body = at;
    for (size_t i = 0; i < length; i++)
        outgoing[at + i] = body[i] ^ MASK[i & 3];
    outgoing_size = at + length;
}

static void make_connections(void)
{
    connections = calloc((size_t)options.connections, sizeof *connections);
    for (int i = 0; i < options.connections; i++) {
        connections[i].head = malloc(HEAD_MAX);
        if (options.deflate)
            connections[i].packed = malloc(packed_max + 4);
    }
}

static double number(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (*end || value < 0) {
        fprintf(stderr, "load: not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static void add(int *numbers, int *count, const char *text)
{
    if (*count == SERVERS_MAX) {
        fprintf(stderr, "load: at most %d servers\n", SERVERS_MAX);
        exit(2);
    }
    numbers[(*count)++] = (int)number(text);
}

static void read_options(int argc, char **argv)
{
    int o = 0;
    while (argc > 1 && o < MODES && strcmp(argv[1], MODE_NAMES[o]))
        o++;
    if (argc < 2 || o == MODES) {
        fprintf(stderr, "usage: load echo|broadcast|fanout|connect|idle|push|http|upload|download|handshake|resume [options]\n");
        exit(2);
    }
    options.mode = (enum mode)o;
    optind = 2;
    while ((o = getopt(argc, argv, "p:c:d:s:t:w:P:D:bzT")) != -1) {
        switch (o) {
        case 'p': add(options.ports, &options.port_count, optarg); break;
        case 'c': options.connections = (int)number(optarg); break;
        case 'd': options.in_flight = (int)number(optarg); break;
        case 's': options.size = (size_t)number(optarg); break;
        case 't': options.seconds = number(optarg); break;
        case 'w': options.warm_up = number(optarg); break;
        case 'P': add(options.servers, &options.server_count, optarg); break;
        case 'D': options.deaf = (int)number(optarg); break;
        case 'b': options.binary = true; break;
        case 'z': options.deflate = true; break;
#ifdef WITH_TLS
        case 'T': options.tls = true; break;
#else
        case 'T': fprintf(stderr, "load: this build has no TLS\n"); exit(2);
#endif
        default: exit(2);
        }
    }
    if (options.connections < 1 || options.in_flight < 1 || options.in_flight > IN_FLIGHT_MAX ||
        options.size < 1 || (options.deflate && options.size > 65535)) {
        fprintf(stderr, "load: -c from 1, -d from 1 to %d, -s from 1 (with -z to 65535)\n", IN_FLIGHT_MAX);
        exit(2);
    }
    if ((options.mode == HANDSHAKE || options.mode == RESUME) && !options.tls) {
        fprintf(stderr, "load: %s needs -T\n", MODE_NAMES[options.mode]);
        exit(2);
    }
    options.port_count += !options.port_count;
    if (options.deaf && (options.mode != FANOUT || options.port_count != 2 || options.deaf >= options.connections)) {
        fprintf(stderr, "load: -D is for fanout with two ports, and below -c\n");
        exit(2);
    }
    if (options.deaf) {
        options.rooms = 2;
        options.connections *= 2;
    }
    if ((options.mode == PUSH || options.mode == FANOUT) && (options.deflate || options.size < NUMBER_DIGITS || options.size > HEAD_MAX)) {
        fprintf(stderr, "load: push and fanout take -s from %d to %d, and no -z\n", NUMBER_DIGITS, HEAD_MAX);
        exit(2);
    }
}

struct snapshot {
    uint64_t at, messages, full;
    double server, servers[SERVERS_MAX], own;
};

static struct snapshot look(void)
{
    struct snapshot s = {.at = now_ns(), .messages = messages, .full = full_handshakes, .own = own_cpu_seconds()};
    for (int i = 0; i < options.server_count; i++) {
        s.servers[i] = tree_cpu_seconds(options.servers[i], NULL);
        s.server += s.servers[i];
    }
    return s;
}

static void dispatch(void)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll, events, EVENTS, 100);
    for (int i = 0; i < n && !error[0]; i++) {
        struct connection *c = events[i].data.ptr;
#ifdef WITH_TLS
        if (c->state == SHAKING) {
            shake(c);
            continue;
        }
        if (c->tls && (options.mode == HANDSHAKE || options.mode == RESUME)) {
            await_ticket_and_end(c);
            continue;
        }
#endif
        if (is_deaf(c) && c->state == OPEN) {
            fail("the server ended the connection that does not read");
            continue;
        }
        if (events[i].events & EPOLLOUT) {
            if (c->state == CONNECTING) {
                connected(c);
                continue;
            }
            write_out(c);
        }
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->state != CONNECTING && !error[0])
            readable(c);
    }
}

/* Opens, warms up and measures; false when something was wrong. */
static bool run(struct snapshot *begin, struct snapshot *end)
{
    enum { OPENING, WARMING, MEASURING } phase = OPENING;
    int next = 0, limit = options.connections;
    if (options.mode == FANOUT && limit > options.port_count)
        limit = options.port_count;
    uint64_t since = 0, moved = 0, moved_at = now_ns(), seen = 0, t;
    bool aligned = options.mode != IDLE; /* begin and end with a complete message */
    while (!error[0]) {
        /* Where each is new they are opened anew by themselves; all others a number at a time. */
        int at_once = each_is_new() ? options.connections : OPENING_AT_ONCE;
        while (next < options.connections && next < limit && next - (int)opened < at_once && !error[0])
            open_connection(&connections[next++]);
        dispatch();
        t = now_ns();
        bool quiet = options.mode == IDLE && phase != OPENING;
        if (octets_moved != moved || quiet) {
            moved = octets_moved;
            moved_at = t;
        } else if (t - moved_at > STALL * 1000000000ull) {
            fail("stalled: %d of %d connections open, and nothing came or went in %d s", (int)opened,
                 options.connections, STALL);
        }
        uint64_t count = options.mode == FANOUT ? rooms[0].published : messages;
        bool complete = !aligned || count != seen;
        seen = count;
        bool to_all = options.mode == FANOUT || options.mode == BROADCAST;
        if (to_all && phase == OPENING && opened >= (uint64_t)limit && !error[0]) {
            usleep(REST_MS * 1000);
            limit = options.connections;
        }
        if (options.mode == FANOUT && phase != OPENING && !error[0])
            give_up_deliveries();
        double elapsed = (double)(t - since) / 1e9;
        if (phase == OPENING && opened >= (uint64_t)options.connections) {
            phase = WARMING;
            since = t;
            if (options.mode == ECHO)
                for (int i = 0; i < options.connections && !error[0]; i++)
                    send_messages(&connections[i], options.in_flight);
            else if (options.mode == BROADCAST)
                send_messages(&connections[0], 1);
            else if (options.mode == FANOUT)
                publish();
            else if (options.mode == PUSH)
                for (int i = 0; i < options.connections && !error[0]; i++)
                    send_messages(&connections[i], 1);
        } else if (phase == WARMING && elapsed >= options.warm_up && complete) {
            if (options.deaf && behind() < DEAF_BEHIND) {
                if (elapsed > options.warm_up + DEAF_SECONDS)
                    fail("the client that does not read is only %ld octets behind", behind());
                continue;
            }
            phase = MEASURING;
            memset(histograms, 0, sizeof histograms);
            memset(windows, 0, sizeof windows);
            ratio_count = 0;
            for (int i = 0; i < options.rooms; i++) {
                rooms[i].lost = 0;
                rooms[i].counted_from = rooms[i].published - (&rooms[i] == turn); /* which is under way */
            }
            *begin = look();
            since = begin->at;
        } else if (phase == MEASURING && elapsed >= options.seconds && complete) {
            *end = look();
            if (options.mode == FANOUT && end->messages == begin->messages)
                fail("no message was delivered");
            return !error[0];
        }
    }
    return false;
}

static void print(const struct snapshot *begin, const struct snapshot *end, const long memory_kb[3])
{
    double seconds = (double)(end->at - begin->at) / 1e9;
    uint64_t count = end->messages - begin->messages;
    size_t payload_size = options.mode == UPLOAD ? options.size : expected_size;
    printf("{\"connections\": %d, \"seconds\": %.3f, \"messages\": %llu, \"per_second\": %.1f, \"mb_per_second\": %.2f", options.connections, seconds,
           (unsigned long long)count, (double)count / seconds,
           (double)count * (double)payload_size / seconds / 1e6);
    const struct histogram *last = &histograms[options.rooms - 1];
    printf(", \"p50_us\": %.0f, \"p90_us\": %.0f, \"p99_us\": %.0f, \"p999_us\": %.0f", percentile(last, .5),
           percentile(last, .9), percentile(last, .99), percentile(last, .999));
    printf(", \"load_cpu\": %.3f", (end->own - begin->own) / seconds);
    if (options.mode == RESUME)
        printf(", \"resumed\": %llu, \"not_resumed\": %llu", (unsigned long long)count,
               (unsigned long long)(end->full - begin->full));
    if (options.mode == FANOUT)
        printf(", \"lost\": %llu", (unsigned long long)(rooms[0].lost + rooms[1].lost));
    if (options.deaf)
        printf(", \"p50_us_without\": %.0f, \"p99_us_without\": %.0f, \"p99_ratio\": %.4f, \"windows\": %d,"
               " \"behind_kb\": %ld", percentile(&histograms[0], .5), percentile(&histograms[0], .99),
               median_ratio(), ratio_count, behind() / 1000);
    for (int i = 0; options.server_count > 1 && i < options.server_count; i++)
        printf(", \"cpu_us_per_message_%d\": %.3f", i + 1,
               count ? (end->servers[i] - begin->servers[i]) * 1e6 / (double)count : 0);
    if (options.server_count) {
        double cpu = end->server - begin->server;
        printf(", \"server_cpu\": %.3f, \"cpu_us_per_message\": %.3f", cpu / seconds,
               count ? cpu * 1e6 / (double)count : 0);
        printf(", \"memory_before_kb\": %ld, \"memory_with_kb\": %ld, \"kb_per_connection\": %.3f",
               memory_kb[0], memory_kb[1], (double)(memory_kb[1] - memory_kb[0]) / options.connections);
        if (options.mode == IDLE)
            printf(", \"memory_after_kb\": %ld", memory_kb[2]);
    }
    printf("}\n");
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct snapshot begin = {0}, end = {0};
    long memory_kb[3] = {0};
    read_options(argc, argv);
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < (rlim_t)options.connections + 64) {
        rlim_t need = (rlim_t)options.connections + 64;
        files = (struct rlimit){need, need > files.rlim_max ? need : files.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &files)) {
            printf("{\"error\": \"this user may not open %d files (ulimit -n)\"}\n", (int)need);
            return 1;
        }
    }
    epoll = epoll_create1(0);
#ifdef WITH_TLS
    tls_set_up();
#endif
    make_outgoing();
    make_connections();
    memory_kb[0] = tree_memory_kb();
    if (!run(&begin, &end)) {
        printf("{\"error\": \"%s\"}\n", error);
        return 1;
    }
    if (options.mode == RESUME && (end.full - begin.full) * 100 > end.messages - begin.messages) {
        printf("{\"error\": \"%llu of %llu tickets were refused\"}\n", (unsigned long long)(end.full - begin.full),
               (unsigned long long)(end.full - begin.full + end.messages - begin.messages));
        return 1;
    }
    memory_kb[1] = tree_memory_kb();
    stopping = true;
    if (options.mode == IDLE) {
        for (int i = 0; i < options.connections; i++)
            close(connections[i].fd);
        sleep(SETTLE);
        memory_kb[2] = tree_memory_kb();
    }
    print(&begin, &end, memory_kb);
    return 0;
}
