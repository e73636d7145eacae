/** Tests for the native backends. */
@NullMarked
package io.faithfulsae.jni.internal;

import org.jspecify.annotations.NullMarked;
