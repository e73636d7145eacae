/**
 * What authors of model families need: the configuration, the weights and a builder for ONNX
 * graphs.
 */
@NullMarked
package io.faithfulsae.models.spi;

import org.jspecify.annotations.NullMarked;
