/** Text files and JSON lines as token sequences for a model. */
@NullMarked
package io.faithfulsae.models.tokens;

import org.jspecify.annotations.NullMarked;
