// Makes two things easier that work without it too: copying a code, and knowing how long it works.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
	const source = document.getElementById(button.dataset.copy);
	button.hidden = false;
	button.addEventListener("click", async () => {
		try {
			await navigator.clipboard.writeText(source.textContent);
			button.textContent = "Copied";
		} catch {
			getSelection().selectAllChildren(source);
			button.textContent = "Selected";
		}
	});
}

for (const place of document.querySelectorAll("[data-expires]")) {
	const end = Date.now() + 1000 * Number(place.dataset.expires); // not the time itself: this computer's clock may be another
	const tick = () => {
		const left = Math.round((end - Date.now()) / 1000);
		place.textContent = left > 0 ? "For " + left + " seconds more." : "It has expired; take another one.";
		if (left > 0) {
			setTimeout(tick, 1000);
		}
	};
	tick();
}
