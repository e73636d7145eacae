/** The choice of a runtime, and the one that needs no other module. */
@NullMarked
package io.faithfulsae.models.runtime.internal;

import org.jspecify.annotations.NullMarked;
