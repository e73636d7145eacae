/** The model families that the library brings along, found through the service loader. */
@NullMarked
package io.faithfulsae.models.internal.families;

import org.jspecify.annotations.NullMarked;
