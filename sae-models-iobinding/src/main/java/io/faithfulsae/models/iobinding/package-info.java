/** ONNX Runtime through JavaCPP, whose tensors may lie in a GPU's memory. */
@NullMarked
package io.faithfulsae.models.iobinding;

import org.jspecify.annotations.NullMarked;
