/* The client's end of TLS for the load generator: TLS 1.3 with AES-256-GCM alone, over a socket that
 * does not block.
 *
 * Rules of this file:
 * - `tls_send` and `tls_receive` answer as send(2) and recv(2) do, EAGAIN included.
 * - A session is kept for one connection's successor, and never shared.
 */
#ifndef TLS_H
#define TLS_H
#include <stdbool.h>
#include <sys/types.h>

struct tls;
enum tls_progress { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_FAILED };

/* Once, before all else. */
void tls_set_up(void);
/* A new connection over `fd`, which offers the `session` that was taken of another one, or NULL. */
struct tls *tls_open(int fd, void *session);
/* Goes on with the handshake. */
enum tls_progress tls_handshake(struct tls *tls);
/* Whether the handshake resumed the session that was offered. */
bool tls_resumed(const struct tls *tls);
ssize_t tls_send(struct tls *tls, const void *data, size_t size);
ssize_t tls_receive(struct tls *tls, void *data, size_t size);
/* The newest session that the server gave a ticket for, or NULL. It is the caller's from then on. */
void *tls_take_session(struct tls *tls);
void tls_free_session(void *session);
/* Sends close_notify. */
void tls_end(struct tls *tls);
void tls_free(struct tls *tls);
/* What OpenSSL says of the last failure. */
const char *tls_error(void);
#endif
