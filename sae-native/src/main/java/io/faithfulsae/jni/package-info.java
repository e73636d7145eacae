/** The CPU and CUDA backends: the only code that knows native memory. Not API. */
@NullMarked
package io.faithfulsae.jni;

import org.jspecify.annotations.NullMarked;
