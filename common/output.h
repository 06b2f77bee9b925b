/*
 * The end of a program for people and scripts.  Standard output that could not be written (a full
 * disk, a closed pipe) makes it fail, whichever way it ends; abort(), by which programs end when there
 * is no memory, is told on standard error.
 */
#ifndef WEIR_OUTPUT_H
#define WEIR_OUTPUT_H

/*
 * To be called once, before anything is written.  At the end of the process standard output is
 * flushed; when that, or any write before it, has failed, a message on standard error begins with
 * program (kept by reference), and the exit status is status whatever it was to be.
 */
void weir_output_check_at_exit(const char *program, int status);

#endif
