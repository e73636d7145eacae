/** What {@code sae doctor} looks at. */
@NullMarked
package io.faithfulsae.cli.doctor;

import org.jspecify.annotations.NullMarked;
