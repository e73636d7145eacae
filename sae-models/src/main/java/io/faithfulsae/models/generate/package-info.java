/** Faithful data sets: text that a model samples from its BOS token alone. */
@NullMarked
package io.faithfulsae.models.generate;

import org.jspecify.annotations.NullMarked;
