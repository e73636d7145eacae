/** How synthetic rows are drawn: who fires, how strongly, in which directions. */
@NullMarked
package io.faithfulsae.internal.synthetic;

import org.jspecify.annotations.NullMarked;
