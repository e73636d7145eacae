/** Tests of the native backends. */
@NullMarked
package io.faithfulsae.jni;

import org.jspecify.annotations.NullMarked;
