/* Stand-in for the PDM library. */
#ifndef STAND_IN_PDM_H
#define STAND_IN_PDM_H

#include <stddef.h>

class PDMClass {
  public:
    int begin(int channels, int rate);
    int available();
    int read(void *buffer, size_t bytes);
    void onReceive(void (*callback)(void));
};
extern PDMClass PDM;

#endif
