/* Weir's version, for every program and the module: the only place where it is written. */
#ifndef WEIR_COMMON_VERSION_H
#define WEIR_COMMON_VERSION_H

#define WEIR_VERSION "0.9.0"

#endif
