/*
 * The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B) for texts of ids: lower-case
 * hexadecimal digits and "-".
 */
#ifndef WEIR_HUFFMAN_H
#define WEIR_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

/* The most bytes for a text of n characters. */
#define WEIR_HUFFMAN_MAX(n) ((6 * (n) + 7) / 8)

/*
 * Writes the code of the text, padded as at the end of a string, and returns the number of bytes:
 * at most WEIR_HUFFMAN_MAX(len). 0: the text has another character.
 */
size_t weir_huffman(uint8_t *out, const char *text, size_t len);

/*
 * Replaces each of n digits by one whose code is as long as that of the digit at the same place in
 * like, chosen by the value of the digit. So the code of a text with one of them can be written
 * over that with the other.
 */
void weir_huffman_alike(char *digits, const char *like, size_t n);

#endif
