/** ONNX Runtime through JavaCPP, with tensors in host or GPU memory. */
@NullMarked
package io.faithfulsae.models.iobinding;

import org.jspecify.annotations.NullMarked;
