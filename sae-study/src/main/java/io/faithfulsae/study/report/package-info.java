/** What pages and pictures for people have in common. */
@NullMarked
package io.faithfulsae.study.report;

import org.jspecify.annotations.NullMarked;
