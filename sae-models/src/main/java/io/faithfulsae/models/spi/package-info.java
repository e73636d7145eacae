/**
 * What the author of a model family needs: the configuration, the weights and a builder of ONNX
 * graphs.
 */
@NullMarked
package io.faithfulsae.models.spi;

import org.jspecify.annotations.NullMarked;
