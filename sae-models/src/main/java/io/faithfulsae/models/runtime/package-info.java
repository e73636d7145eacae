/** What runs ONNX graphs, and the memory that they run on; for who adds another runtime. */
@NullMarked
package io.faithfulsae.models.runtime;

import org.jspecify.annotations.NullMarked;
