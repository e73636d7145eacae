/** The GPT-NeoX family. */
@NullMarked
package io.faithfulsae.models.gptneox;

import org.jspecify.annotations.NullMarked;
