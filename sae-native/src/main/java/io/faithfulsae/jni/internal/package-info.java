/**
 * The CPU and CUDA backends: the only code that handles native memory. Not API: it may change in
 * any release.
 */
@NullMarked
package io.faithfulsae.jni.internal;

import org.jspecify.annotations.NullMarked;
