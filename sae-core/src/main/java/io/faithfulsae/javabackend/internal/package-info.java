/** The backend {@code java}: plain Java, for machines without native libraries. */
@NullMarked
package io.faithfulsae.javabackend.internal;

import org.jspecify.annotations.NullMarked;
