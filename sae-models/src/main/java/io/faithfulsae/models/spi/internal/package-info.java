/** Operations on ONNX graphs. */
@NullMarked
package io.faithfulsae.models.spi.internal;

import org.jspecify.annotations.NullMarked;
