/** The built-in model families, found through the service loader. */
@NullMarked
package io.faithfulsae.models.internal.families;

import org.jspecify.annotations.NullMarked;
