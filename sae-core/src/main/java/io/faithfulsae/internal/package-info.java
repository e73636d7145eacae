/** Not API: file formats, checkpoints and shuffling. May change in any release. */
@NullMarked
package io.faithfulsae.internal;

import org.jspecify.annotations.NullMarked;
