/*
 * Folders of keys that are replaced as a whole. DIR/NAME is a symbolic link to DIR/.NAME.xxxxxx,
 * which is written completely before the link is moved to it by rename(2): a reader that resolves
 * the link once has files that belong together, and one that opens a path finds the old file or the
 * new one, never a half. The folder before the newest one is kept until the next change, for
 * readers that have resolved the link before.
 */
#ifndef WEIR_CTL_KEYS_FOLDER_H
#define WEIR_CTL_KEYS_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#define WEIR_KEYS_FILE_MAX 1048576 /* bytes */

typedef struct {
    const char *name;
    const char *text;
    bool is_public; /* mode 0644 instead of 0600 */
} weir_keys_file_t;

/*
 * Makes DIR if it is not there, and takes its lock, so that no other weirctl changes it. Returns
 * the descriptor of the lock, for close(); -1 with a message.
 */
int weir_keys_folder_lock(const char *dir, char *error, size_t size);

/*
 * The text of DIR/NAME/FILE, for free(). NULL: it is not there (error is empty), or it cannot be
 * read (error has a message).
 */
char *weir_keys_folder_read(const char *dir, const char *name, const char *file, char *error,
                            size_t size);

/*
 * Replaces DIR/NAME by a folder with these files, synced to the disk. A file has the owner of the
 * file of that name before it, or that of the other secret files if it is new. False with a message
 * if something failed; then nothing has changed.
 */
bool weir_keys_folder_write(const char *dir, const char *name, const weir_keys_file_t *files,
                            size_t n, char *error, size_t size);

#endif
