/** Tests of the backend {@code java}. */
@NullMarked
package io.faithfulsae.javabackend.internal;

import org.jspecify.annotations.NullMarked;
