/** Runtimes for ONNX graphs and the memory they use; for authors of other runtimes. */
@NullMarked
package io.faithfulsae.models.runtime;

import org.jspecify.annotations.NullMarked;
