'use strict';
// Wide lists need the width: below 1600 px the sidebar is folded until somebody unfolds it.
if (localStorage.getItem('django.admin.navSidebarIsOpen') === null && window.innerWidth < 1600) {
    localStorage.setItem('django.admin.navSidebarIsOpen', 'false');
}
