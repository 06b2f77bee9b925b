/*
 * Confines the process to what a server needs: after that, code that an attacker might bring into
 * it can start no program and no process, look into no other process, change no mount, namespace,
 * kernel module or clock, and make no memory executable.
 *
 * A filter of system calls (seccomp(2)) names what is refused, with EPERM, instead of what is
 * allowed: libraries use other system calls with each of their versions, and a call that is missing
 * in a list would stop the process for no reason of its own. Files and sockets are not its subject:
 * the account of the process, and the units of systemd, limit them.
 */
#ifndef WEIR_SANDBOX_H
#define WEIR_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Confines the calling thread and those that it will create, for ever. To be called before other
 * threads exist. Returns false with an error that names the step that failed, as it does where the
 * kernel has no seccomp; the process may then be confined in part.
 *
 * Built with AddressSanitizer it does nothing and returns true: the leak check at exit needs
 * ptrace(2).
 */
bool weir_sandbox_enter(char *error, size_t size);

#endif
