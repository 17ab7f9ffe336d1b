/* The floor: the cheapest WebSocket echo that there can be, in C with epoll and one thread.
 *
 * Usage: floor PORT [APPLICATION]
 * An APPLICATION whose name contains "broadcast" or "topic" sends what has come to all that are connected.
 *
 * Rules of this file:
 * - It shows what the system calls of a server cost, and nothing else: it speaks to no application and
 *   checks nothing, not even what would be an attack. It is no server.
 * - One recv for what has come, one send for all the answers. A payload is unmasked where it lies and sent on
 *   as it comes; no message is ever put together.
 * - It answers every handshake as if it had the key of the load generator, and every other request head with
 *   "Hello, world!".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 20, ROOM = 16, CONNECTIONS = 1 << 17, EVENTS = 256 };

struct connection {
    int is_open; /* the handshake is done */
    uint8_t header[14];
    int header_length;
    uint64_t left; /* of the payload */
    unsigned phase; /* of the mask */
    uint8_t *rest;  /* what the socket did not take yet: nothing is read meanwhile */
    size_t rest_size, rest_sent;
};

static const char UPGRADE[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static const char HELLO[] = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!";

static struct connection connections[CONNECTIONS];
/* An answer grows into the room before the read when a header came in two parts; it is never ahead of it. */
static uint8_t buffer[ROOM + READ_SIZE];
static uint8_t hellos[READ_SIZE];
static int epoll, highest, to_all;

static void await_events(int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &e);
}

static void drop(int fd)
{
    free(connections[fd].rest);
    memset(&connections[fd], 0, sizeof connections[fd]);
    close(fd);
}

static void answer(int fd, const uint8_t *data, size_t size)
{
    struct connection *c = &connections[fd];
    ssize_t n = size ? send(fd, data, size, MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN) {
        drop(fd);
        return;
    }
    size_t sent = n < 0 ? 0 : (size_t)n;
    if (sent < size) {
        c->rest_size = size - sent;
        c->rest_sent = 0;
        c->rest = malloc(c->rest_size);
        memcpy(c->rest, data + sent, c->rest_size);
        await_events(fd, EPOLLOUT);
    }
}

static void answer_rest(int fd)
{
    struct connection *c = &connections[fd];
    ssize_t n = send(fd, c->rest + c->rest_sent, c->rest_size - c->rest_sent, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN)
            drop(fd);
        return;
    }
    c->rest_sent += (size_t)n;
    if (c->rest_sent == c->rest_size) {
        free(c->rest);
        c->rest = NULL;
        await_events(fd, EPOLLIN);
    }
}

static void unmask(uint8_t *to, const uint8_t *from, size_t size, const uint8_t *key, unsigned phase)
{
    uint8_t turned[8];
    uint64_t mask, word;
    size_t i = 0;
    for (unsigned j = 0; j < 8; j++)
        turned[j] = key[(phase + j) & 3];
    memcpy(&mask, turned, 8);
    for (; i + 8 <= size; i += 8) { /* `to` is before `from`, so a word is read before it is written over */
        memcpy(&word, from + i, 8);
        word ^= mask;
        memcpy(to + i, &word, 8);
    }
    for (; i < size; i++)
        to[i] = from[i] ^ turned[i & 7];
}

static void echo(int fd, const uint8_t *in, const uint8_t *end)
{
    struct connection *c = &connections[fd];
    uint8_t *out = buffer;
    while (in < end) {
        if (!c->left) {
            c->header[c->header_length++] = *in++;
            if (c->header_length < 2)
                continue;
            int length = c->header[1] & 127, octets = length == 126 ? 2 : length == 127 ? 8 : 0;
            if (c->header_length < 2 + octets + 4)
                continue;
            c->left = octets ? 0 : (uint64_t)length;
            for (int i = 0; i < octets; i++)
                c->left = c->left << 8 | c->header[2 + i];
            c->phase = 0;
            *out++ = c->header[0];
            *out++ = (uint8_t)length;
            memcpy(out, c->header + 2, (size_t)octets);
            out += octets;
            memmove(c->header, c->header + 2 + octets, 4); /* the key */
            c->header_length = 0;
        }
        size_t size = (size_t)(end - in) < c->left ? (size_t)(end - in) : (size_t)c->left;
        unmask(out, in, size, c->header, c->phase);
        c->phase = (c->phase + (unsigned)size) & 3;
        c->left -= size;
        out += size;
        in += size;
    }
    if (!to_all)
        answer(fd, buffer, (size_t)(out - buffer));
    for (int other = 0; to_all && other <= highest; other++)
        if (connections[other].is_open)
            answer(other, buffer, (size_t)(out - buffer));
}

static void serve(int fd)
{
    uint8_t *in = buffer + ROOM;
    ssize_t n = recv(fd, in, READ_SIZE, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(fd);
    } else if (connections[fd].is_open) {
        echo(fd, in, in + n);
    } else if (memmem(in, (size_t)n, "Upgrade", 7)) {
        connections[fd].is_open = 1;
        answer(fd, (const uint8_t *)UPGRADE, sizeof UPGRADE - 1);
    } else {
        size_t size = 0;
        for (uint8_t *end = in + n, *p; (p = memmem(in, (size_t)(end - in), "\r\n\r\n", 4)); in = p + 4) {
            if (size + sizeof HELLO > sizeof hellos)
                break;
            memcpy(hellos + size, HELLO, sizeof HELLO - 1);
            size += sizeof HELLO - 1;
        }
        answer(fd, hellos, size);
    }
}

static void accept_one(int listener)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (fd >= CONNECTIONS) {
        close(fd);
        return;
    }
    if (fd > highest)
        highest = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 9000)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    to_all = argc > 2 && (strstr(argv[2], "broadcast") || strstr(argv[2], "topic"));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 2048))
        return 1;
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_one(fd);
            else if (connections[fd].rest)
                answer_rest(fd);
            else
                serve(fd);
        }
    }
}
