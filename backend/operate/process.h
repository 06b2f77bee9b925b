/* Metrics of the process itself, under the names that all clients of Prometheus use. */
#ifndef WEIR_PROCESS_H
#define WEIR_PROCESS_H

/* From now on they are among the series. */
void weir_process_measure(const char *roles);

#endif
