/*
 * Exit of a command-line program.  A program fails if its standard output could not be written (a
 * full disk, a closed pipe), however it ends.  abort(), which ends programs without memory, prints
 * a message on standard error.
 */
#ifndef WEIR_OUTPUT_H
#define WEIR_OUTPUT_H

/*
 * Call once, before anything is written.  At exit, standard output is flushed; if that, or any
 * write before, failed, a message that begins with program (kept by reference) is printed on
 * standard error, and the exit status is status in any case.  A standard stream that is closed
 * becomes /dev/null; standard output still cannot be written then.
 */
void weir_output_check_at_exit(const char *program, int status);

#endif
