/* Stand-in for hardware_dma. */
#ifndef STAND_IN_DMA_H
#define STAND_IN_DMA_H
#include "pico/stdlib.h"
enum dma_channel_transfer_size { DMA_SIZE_8, DMA_SIZE_16, DMA_SIZE_32 };
typedef struct {
    enum dma_channel_transfer_size size;
    bool read_increment, write_increment;
    uint dreq, chain_to;
} dma_channel_config;
int dma_claim_unused_channel(bool required);
dma_channel_config dma_channel_get_default_config(uint channel);
void channel_config_set_transfer_data_size(dma_channel_config *c, enum dma_channel_transfer_size size);
void channel_config_set_read_increment(dma_channel_config *c, bool increment);
void channel_config_set_write_increment(dma_channel_config *c, bool increment);
void channel_config_set_dreq(dma_channel_config *c, uint dreq);
void channel_config_set_chain_to(dma_channel_config *c, uint channel);
void dma_channel_configure(uint channel, const dma_channel_config *config, volatile void *write, const volatile void *read,
                           uint count, bool trigger);
void dma_channel_set_write_addr(uint channel, volatile void *write, bool trigger);
void dma_channel_set_irq0_enabled(uint channel, bool enabled);
bool dma_channel_get_irq0_status(uint channel);
void dma_channel_acknowledge_irq0(uint channel);
void dma_channel_start(uint channel);
#endif
